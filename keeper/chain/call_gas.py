"""The gas field of a call, within the cap of each endpoint.

Most nodes lower the field to their cap silently. Others refuse the call, each with its own message.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from keeper.chain.batching import Answer, Reading, Request
from keeper.chain.capabilities import Capability
from keeper.chain.fields import Json
from keeper.chain.refusal import failed_in_evm, is_too_much, is_too_much_code
from keeper.chain.rpc import Rpc
from keeper.domain.errors import RpcRefused
from keeper.domain.units import Gas

Transaction = Mapping[str, object]
Run = tuple[str, Transaction, tuple[object, ...]]
"""A method, the transaction that it runs, and its further parameters."""

LEAST_GAS: Final = Gas(1_000_000)
"""With less than this a read is not tried: the field is left out then."""

_TOO_LITTLE: Final = (
    "out of gas",
    "outofgas",
    "too low",
    "allowance",
    "gas cost",
    "gascost",
    "floor",
)
"""Signs of a call that needs more gas, where others of the signs below may be beside."""
_PRICES: Final = ("gas price", "gasprice", "fee", "insufficient funds")
_CAPPED: Final = re.compile(
    r"cap\b|limit|exceed|max|greater|higher|above|too (?:high|large|big)|more"
)
_NUMBER: Final = re.compile(
    r"\b(0x[0-9a-f]{1,16}\b|[0-9][0-9_,]*(?:\.[0-9]+)?)\s*(m(?:illion)?\b)?"
)
_MILLION: Final = 1_000_000


def is_gas_cap(error: RpcRefused) -> bool:
    """Return whether a call was refused for its gas field and not for its execution."""
    said = error.text.lower()
    if error.data or "gas" not in said or "revert" in said:
        return False
    other = any(sign in said for sign in (*_TOO_LITTLE, *_PRICES))
    return not other and _CAPPED.search(said) is not None


def may_be_gas_cap(error: RpcRefused) -> bool:
    """Return whether a refusal may be for the gas, since its text does not say otherwise."""
    classified = failed_in_evm(error) or is_too_much(error) or is_too_much_code(error)
    return is_gas_cap(error) or not (error.data or classified)


def lower_gas(error: RpcRefused, gas: Gas, block_limit: Gas | None) -> Gas | None:
    """Return the gas to try next. None to omit the field.

    It is the greatest number below ``gas`` in the refusal, else the block's gas limit if lower,
    else half.
    """
    if not is_gas_cap(error):
        return None
    lower = [named for named in _parse_gas_numbers(error.text) if LEAST_GAS <= named < gas]
    if not lower and block_limit is not None and LEAST_GAS <= block_limit < gas:
        lower = [block_limit]
    half = Gas(gas // 2)
    return max(lower, default=half if half >= LEAST_GAS else None)


def _parse_gas_numbers(text: str) -> list[Gas]:
    """Return the numbers in a text, with ``M`` read as million."""
    named = list[Gas]()
    for digits, million in _NUMBER.findall(text.lower()):
        if digits.startswith("0x"):
            named.append(Gas(int(digits, 16)))
            continue
        whole, _, fraction = digits.replace(",", "").replace("_", "").partition(".")
        if million:
            fraction = fraction[:6].ljust(6, "0")
            named.append(Gas(int(whole) * _MILLION + int(fraction)))
        elif whole.isdigit():
            named.append(Gas(int(whole)))
    return named


class CallGas:
    """Sends calls with as much gas as an endpoint accepts, and learns that limit."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def request(self, endpoint: int, run: Run) -> Request:
        """Build the request with the gas that the endpoint is known to accept."""
        method, transaction, rest = run
        gas = self._limit_gas(endpoint, _parse_gas_field(transaction))
        return method, (_set_gas_field(transaction, gas), *rest)

    async def ask(self, endpoint: int, run: Run) -> Json:
        """Send once.

        If the endpoint refuses the gas, retry with less, and finally without the field.

        Raises:
            RpcRefused: the first refusal, if no other gas is accepted either.
            RpcUnavailable: the endpoint did not answer.
        """
        wanted = _parse_gas_field(run[1])
        gas = self._limit_gas(endpoint, wanted)
        try:
            answer = await self._ask_with(endpoint, run, gas)
        except RpcRefused as error:
            if gas is None or not may_be_gas_cap(error):
                raise
            return await self._ask_with_less(endpoint, run, gas, error)
        self._clear_limit(endpoint, wanted, gas)
        return answer

    async def mend(
        self, endpoint: int, runs: Sequence[Run], answers: Sequence[Answer]
    ) -> list[Answer]:
        """Return a batch's answers after retrying the requests that were refused for their gas."""
        mended = list(answers)
        refused = [
            place
            for place, answer in enumerate(answers)
            if isinstance(answer, RpcRefused) and may_be_gas_cap(answer)
        ]
        if not refused:
            return mended
        first, *others = refused
        try:
            mended[first] = await self.ask(endpoint, runs[first])
        except RpcRefused as error:
            mended[first] = error
            if not failed_in_evm(error):
                return mended
        requests = [self.request(endpoint, runs[place]) for place in others]
        again = await Reading(self._rpc, endpoint, requests).complete()
        for place, answer in zip(others, again, strict=True):
            mended[place] = answer
        return mended

    async def _ask_with_less(self, endpoint: int, run: Run, gas: Gas, first: RpcRefused) -> Json:
        lower = lower_gas(first, gas, self._get_block_limit())
        while True:
            try:
                answer = await self._ask_with(endpoint, run, lower)
            except RpcRefused as error:
                if failed_in_evm(error) and not is_gas_cap(error):
                    self._note_limit(endpoint, first, lower)  # it was run
                    raise
                if lower is None:
                    raise first from None
                lower = lower_gas(error, lower, self._get_block_limit())
            else:
                if is_gas_cap(first) or await self._is_refused(endpoint, run):
                    self._note_limit(endpoint, first, lower)
                return answer

    async def _is_refused(self, endpoint: int, run: Run) -> bool:
        """Return whether the gas field is refused again, if the first refusal did not name it."""
        try:
            await self._ask_with(endpoint, run, _parse_gas_field(run[1]))
        except RpcRefused:
            return True
        return False

    async def _ask_with(self, endpoint: int, run: Run, gas: Gas | None) -> Json:
        method, transaction, rest = run
        return await self._rpc.ask(endpoint, method, _set_gas_field(transaction, gas), *rest)

    def _limit_gas(self, endpoint: int, gas: Gas | None) -> Gas | None:
        known = self._rpc.capabilities
        lack = known.lack(endpoint, Capability.CALL_GAS)
        if gas is None or lack is None or known.has(endpoint, Capability.CALL_GAS):
            return gas
        return Gas(min(gas, lack.limit)) if lack.limit else None

    def _get_block_limit(self) -> Gas | None:
        head = self._rpc.pool.current
        return None if head is None else head.gas_limit

    def _note_limit(self, endpoint: int, error: RpcRefused, limit: Gas | None) -> None:
        """Record the accepted gas. 0 means a call without the field."""
        reason = error.text or str(error)
        self._rpc.capabilities.learn_lack(endpoint, Capability.CALL_GAS, reason, limit=limit or 0)

    def _clear_limit(self, endpoint: int, wanted: Gas | None, gas: Gas | None) -> None:
        """Clear the limit if more gas was accepted."""
        lack = self._rpc.capabilities.lack(endpoint, Capability.CALL_GAS)
        if lack is None or gas is None or gas != wanted or gas <= (lack.limit or 0):
            return
        self._rpc.capabilities.learn_success(endpoint, Capability.CALL_GAS)


def _parse_gas_field(transaction: Transaction) -> Gas | None:
    gas = transaction.get("gas")
    return Gas(int(gas, 16)) if isinstance(gas, str) else None


def _set_gas_field(transaction: Transaction, gas: Gas | None) -> Transaction:
    if gas is None:
        return {key: value for key, value in transaction.items() if key != "gas"}
    return {**transaction, "gas": hex(gas)}
