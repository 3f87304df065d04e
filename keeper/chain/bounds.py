"""Upper bounds of an answer by its request, in bytes after decompression and in JSON values.

No valid answer exceeds its bound, with the two exceptions in ``Excess``. The request can be
divided, or a contract returned as much as its gas pays for.
"""

import enum
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.errors import RpcTooLarge

MIB: Final = 2**20
MAX_ANSWER_BYTES: Final = 32 * MIB
"""No answer is read further than this, whatever was asked."""
SMALL: Final = MIB
"""Headers, nonces, balances, fees, code, hashes: nearly everything."""
RECEIPT: Final = 16 * MIB
"""A transaction of ten million gas that does nothing but write logs."""
BLOCKS: Final = frozenset({"eth_getBlockByHash", "eth_getBlockByNumber"})
WHOLE_BLOCK: Final = 16 * MIB
"""A block with its transactions: ten megabytes of them, as consensus limits them, at the most."""
BLOCK_LOGS: Final = 16 * MIB
RANGE_LOGS: Final = 8 * MIB
"""Some ten thousand logs, where most hosted nodes end, too."""
UNLIMITED_CALL: Final = 16 * MIB
"""A call without a gas limit of its own: the node has one."""

BASE_VALUES: Final = 4096
"""Commas and opening brackets that any answer may have."""
REQUEST_VALUES: Final = 16
"""As many more for each further request or simulated call."""
BYTES_PER_VALUE: Final = 24
"""Logs, receipts and headers have more bytes than this for each value (logs: at least 30)."""

_ENVELOPE: Final = 64 * 1024
_WORD_BYTES: Final = 32
_HEX: Final = 2
_LOG_BYTES_PER_GAS: Final = 1.5
"""A log without topics costs 375 gas and has some 500 bytes of JSON."""


class Excess(enum.Enum):
    """Meaning of an answer that exceeds its bound."""

    FAULT = enum.auto()  # no good node answers that much
    DIVISIBLE = enum.auto()  # a smaller question may be answered
    CONTRACT = enum.auto()  # a contract may have returned it: another endpoint knows


@dataclass(frozen=True, slots=True)
class Bound:
    """Limit of an answer, ``size`` in bytes.

    ``values`` is the number of JSON values it may have, plus more in proportion to its bytes,
    unless the result ``is_single`` text.
    """

    size: int
    values: int = BASE_VALUES
    is_single: bool = False
    excess: Excess = Excess.FAULT

    def values_within(self, size: int) -> int:
        """Return the number of values that the first ``size`` bytes may hold."""
        return self.values if self.is_single else self.values + size // BYTES_PER_VALUE

    def too_large(self) -> RpcTooLarge:
        """Return the error for an answer that exceeds the bound."""
        return RpcTooLarge(
            f"the node's answer is longer than {_format_size(self.size)}",
            excessive=self.excess is Excess.FAULT,
            by_contract=self.excess is Excess.CONTRACT,
        )


ANY: Final = Bound(MAX_ANSWER_BYTES, excess=Excess.DIVISIBLE)
"""The bound of what nothing more is known about."""
NOTIFICATION: Final = Bound(SMALL)
"""The bound of what a subscription announces."""


@dataclass(frozen=True, slots=True)
class Expected(Collection[int]):
    """The ids of the answers to a message, and their common bound."""

    ids: Sequence[int]
    bound: Bound

    def __contains__(self, number: object) -> bool:
        return number in self.ids

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


def expected_bound(ids: Collection[int]) -> Bound:
    """Return the bound of the answers with these ids."""
    return ids.bound if isinstance(ids, Expected) else ANY


def answer_bound(requests: Sequence[tuple[str, Sequence[object]]]) -> Bound:
    """Return the bound of the answer to a request, or to a batch of several."""
    bounds = [_compute_bound(method, params) for method, params in requests]
    if len(bounds) == 1:
        return bounds[0]
    size = sum(bound.size for bound in bounds)
    excesses = {bound.excess for bound in bounds}
    if Excess.CONTRACT in excesses:
        excess = Excess.CONTRACT
    elif size > MAX_ANSWER_BYTES or Excess.DIVISIBLE in excesses:
        excess = Excess.DIVISIBLE
    else:
        excess = Excess.FAULT
    return Bound(
        size=min(size, MAX_ANSWER_BYTES),
        values=BASE_VALUES + REQUEST_VALUES * len(bounds),
        is_single=all(bound.is_single for bound in bounds),
        excess=excess,
    )


def returned_bytes(gas: int) -> int:
    """Return the most bytes that a call can return for its gas.

    Source: the yellow paper's memory cost, 3 gas a word and a 512th of the words squared.
    """
    # words**2 / 512 + 3 * words = gas, solved for words
    words = math.isqrt(768**2 + 512 * gas) - 768
    return _WORD_BYTES * max(0, words)


def _compute_bound(method: str, params: Sequence[object]) -> Bound:
    match method:
        case "eth_getLogs":
            return _compute_logs_bound(params)
        case "eth_getTransactionReceipt":
            return Bound(RECEIPT)
        case "eth_getBlockReceipts":
            return Bound(MAX_ANSWER_BYTES)
        case "eth_call" | "eth_estimateGas":
            return Bound(_compute_call_bytes(params), is_single=True, excess=Excess.CONTRACT)
        case "eth_simulateV1":
            return _compute_simulation_bound(params)
        case _:
            whole = method in BLOCKS and True in params
            return Bound(WHOLE_BLOCK if whole else SMALL)


def _compute_logs_bound(params: Sequence[object]) -> Bound:
    criteria = params[0] if params else None
    if not isinstance(criteria, Mapping):
        return Bound(RANGE_LOGS, excess=Excess.DIVISIBLE)
    first = criteria.get("fromBlock")
    if "blockHash" in criteria or (first is not None and first == criteria.get("toBlock")):
        return Bound(BLOCK_LOGS)
    return Bound(RANGE_LOGS, excess=Excess.DIVISIBLE)


def _compute_call_bytes(params: Sequence[object]) -> int:
    """Return the most bytes of JSON that a call's result, or its revert, can have."""
    gas = _parse_gas(params[0] if params else None)
    if gas is None:
        return UNLIMITED_CALL
    return min(MAX_ANSWER_BYTES, max(SMALL, _ENVELOPE + _HEX * returned_bytes(gas)))


def _compute_simulation_bound(params: Sequence[object]) -> Bound:
    payload = params[0] if params else None
    blocks = payload.get("blockStateCalls") if isinstance(payload, Mapping) else None
    calls = [
        call
        for block in (blocks if isinstance(blocks, Sequence) else ())
        if isinstance(block, Mapping)
        for call in block.get("calls", ())
    ]
    size = SMALL
    for call in calls:
        gas = _parse_gas(call)
        if gas is None:
            size += UNLIMITED_CALL
        else:  # what it returns stands there twice where it reverts
            size += 2 * _HEX * returned_bytes(gas) + int(_LOG_BYTES_PER_GAS * gas)
    return Bound(
        size=min(MAX_ANSWER_BYTES, size),
        values=BASE_VALUES + REQUEST_VALUES * len(calls),
        excess=Excess.CONTRACT,
    )


def _parse_gas(transaction: object) -> int | None:
    given = transaction.get("gas") if isinstance(transaction, Mapping) else None
    if not isinstance(given, str):
        return None
    try:
        return int(given, 16)
    except ValueError:
        return None


def _format_size(size: int) -> str:
    return f"{size / MIB:.1f} MiB" if size % MIB else f"{size // MIB} MiB"
