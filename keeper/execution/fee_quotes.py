"""Fee quotes of every healthy endpoint, each by the best method it has, and paid tips.

The methods are ``eth_feeHistory``, else ``eth_maxPriorityFeePerGas``, else ``eth_gasPrice`` less
the base fee. An endpoint that lacks a method is asked by the next one until it is tried again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar, runtime_checkable

from keeper.chain.capabilities import Capability
from keeper.chain.fee_reads import base_fees_of, paid_tips_of, rewards_of
from keeper.chain.fields import Json, document, hash32, quantity
from keeper.chain.pool import QUORUM
from keeper.chain.refusal import refusal_kind
from keeper.chain.refusal_kinds import RefusalKind
from keeper.chain.rpc import Rpc
from keeper.domain.errors import ChainError, RpcMalformed, RpcRefused
from keeper.domain.head import Head
from keeper.domain.units import BlockHash, Wei
from keeper.execution.fee_market import FeeQuote, PaidTip, median_tip, paid_percentile

log = logging.getLogger(__name__)

T = TypeVar("T")

METHOD_SECONDS: Final = 1.5
"""Timeout of one method of an endpoint before the next one is tried."""
PATIENCE_SECONDS: Final = 0.5
"""Timeout of a second endpoint once the first has answered."""
GRACE_SECONDS: Final = 0.25
"""Timeout of further endpoints once two have answered."""
PAID_BLOCKS: Final = 3
"""Number of newest blocks searched for a transaction that paid a tip."""
FEES: Final = "fees"


class FeeHistory(Protocol):
    """Fee history read of a fee source."""

    async def fee_history(self, blocks: int, percentile: int) -> tuple[list[Wei], list[Wei]]:
        """Return base fees (the next block's last) and the percentile's rewards per block."""
        ...


@runtime_checkable
class QuotesFees(Protocol):
    """Fee source over several endpoints. It returns what is available and raises nothing."""

    async def fetch_quotes(
        self, head: Head, blocks: int, percentile: int
    ) -> Mapping[int, FeeQuote]:
        """Return each endpoint's claim, best endpoint first, without those that do not answer."""
        ...

    async def fetch_paid(self, head: Head, percentile: int) -> Wei | None:
        """Return the tip that the newest blocks' transactions paid. None if no block shows one."""
        ...

    def report_conflict(self, detail: str) -> None:
        """Report a contradiction between endpoints. Empty if it has ended."""
        ...


@dataclass(frozen=True, slots=True)
class HistoryQuotes:
    """``QuotesFees`` over a source that has the history of fees and nothing else."""

    source: FeeHistory

    async def fetch_quotes(
        self,
        head: Head,  # noqa: ARG002 (the port's)
        blocks: int,
        percentile: int,
    ) -> Mapping[int, FeeQuote]:
        """Return the history's claim. ChainError if it cannot be read."""
        base_fees, rewards = await self.source.fee_history(blocks, percentile)
        base_fee = base_fees[-1] if base_fees else None
        return {0: FeeQuote(base_fee=base_fee, tip=median_tip(rewards))}

    async def fetch_paid(self, head: Head, percentile: int) -> Wei | None:  # noqa: ARG002
        """Return None, since no block can be read."""
        return None

    def report_conflict(self, detail: str) -> None:
        """Do nothing, since a single source contradicts no other."""


@dataclass(slots=True, kw_only=True)
class NodeFees:
    """``QuotesFees`` over the endpoints of an ``Rpc``."""

    rpc: Rpc
    _is_unknown: bool = field(default=False)

    async def fetch_quotes(
        self, head: Head, blocks: int, percentile: int
    ) -> Mapping[int, FeeQuote]:
        """Return the claims of the endpoints that are good, asked at once."""
        found = await self._ask_endpoints(
            lambda place: self._fetch_quote(place, head, blocks, percentile)
        )
        unknown = all(quote.tip is None for quote in found.values())
        if unknown and not self._is_unknown:
            log.warning(
                "tip_unknown block=%d instead=%s", head.number, "the policy's least tip is bid"
            )
        self._is_unknown = unknown
        return found

    async def fetch_paid(self, head: Head, percentile: int) -> Wei | None:
        """Return the lowest of the tips that the endpoints' newest blocks show as paid."""
        found = await self._ask_endpoints(
            lambda place: self._fetch_paid_tip(place, head, percentile)
        )
        return min((tip for tip in found.values() if tip is not None), default=None)

    def report_conflict(self, detail: str) -> None:
        """Report a contradiction between endpoints. Empty if it has ended."""
        disagreements = self.rpc.pool.disagreements
        if detail:
            disagreements.found(FEES, "tip", detail)
        else:
            disagreements.settled(FEES, "tip")

    async def _fetch_quote(self, place: int, head: Head, blocks: int, percentile: int) -> FeeQuote:
        history = FeeQuote()

        async def by_history() -> Wei:
            nonlocal history
            answer = await self._ask(place, "eth_feeHistory", hex(blocks), "latest", [percentile])
            try:
                history = FeeQuote(base_fee=base_fees_of(answer, blocks)[-1])
            except RpcMalformed as error:  # the tips count; the formula knows the base fee
                log.debug("base_fee_unstated endpoint=%d reason=%s", place, error)
            return median_tip(rewards_of(answer, blocks))

        async def by_suggestion() -> Wei:
            answer = await self._ask(place, "eth_maxPriorityFeePerGas")
            return Wei(quantity(answer, "the suggested tip"))

        async def by_gas_price() -> Wei:
            price = quantity(await self._ask(place, "eth_gasPrice"), "the gas price")
            return Wei(max(0, price - (history.base_fee or head.base_fee)))

        tip = await self._try_methods(
            place,
            (
                (Capability.FEE_HISTORY, by_history),
                (Capability.PRIORITY_FEE, by_suggestion),
                (Capability.GAS_PRICE, by_gas_price),
            ),
        )
        if tip is not None and not head.base_fee:  # without a base fee the tip is all that is paid
            return FeeQuote(tip=Wei(tip + (history.base_fee or 0)))
        return FeeQuote(base_fee=history.base_fee, tip=tip)

    async def _try_methods(
        self, place: int, ways: Sequence[tuple[Capability, Callable[[], Awaitable[Wei]]]]
    ) -> Wei | None:
        """Return the tip by the first method that the endpoint has. None if it has none."""
        capabilities = self.rpc.capabilities
        for capability, ask in ways:
            if not capabilities.has(place, capability):
                continue
            try:
                async with asyncio.timeout(METHOD_SECONDS):
                    tip = await ask()
            except TimeoutError:
                reason = f"no answer within {METHOD_SECONDS:g} s"
                capabilities.learn_lack(place, capability, reason)
            except (RpcRefused, RpcMalformed) as error:
                if not _is_temporary(error):
                    capabilities.learn_lack(place, capability, str(error))
            except ChainError as error:
                log.info("fees_unanswered endpoint=%d reason=%s", place, error)
            else:
                capabilities.learn_success(place, capability)
                return tip
        return None

    async def _fetch_paid_tip(self, place: int, head: Head, percentile: int) -> Wei | None:
        """Return the tip that the newest block paid, or one of its parents if it paid none."""
        wanted = head.hash if head.gas_used else head.parent_hash  # an empty block shows none
        for _ in range(PAID_BLOCKS):
            try:
                async with asyncio.timeout(METHOD_SECONDS):
                    answer = await self._ask(place, "eth_getBlockByHash", wanted, True)  # noqa: FBT003 - JSON-RPC: whole transactions
                tip, wanted = _parse_tip_and_parent(
                    document(answer, "the block"), wanted, percentile
                )
            except (ChainError, TimeoutError) as error:
                log.info("tips_unproven endpoint=%d reason=%s", place, error or "no answer")
                return None
            if tip is not None:
                return tip
        return None

    async def _ask(self, place: int, method: str, *params: object) -> Json:
        await self.rpc.ensure_identified(place)
        return await self.rpc.ask(place, method, *params)

    async def _ask_endpoints(self, ask: Callable[[int], Awaitable[T]]) -> Mapping[int, T]:
        """Ask every healthy endpoint, leaving out those much slower than the first ones."""
        pool = self.rpc.pool
        try:
            places = pool.alive() or [pool.best()]
        except ChainError as error:
            log.info("fees_unanswered reason=%s", error)
            return {}
        tasks = {place: self.rpc.later(_await_answer(ask, place)) for place in places}
        waiting = set(tasks.values())
        while waiting:
            done, waiting = await asyncio.wait(
                waiting,
                timeout=_get_patience(len(tasks) - len(waiting)),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not done:
                break
        return {place: task.result() for place, task in tasks.items() if task.done()}


def _get_patience(answered: int) -> float | None:
    """Return the timeout for further endpoints. None if unbounded, as each read has its own."""
    if answered == 0:
        return None
    return PATIENCE_SECONDS if answered < QUORUM else GRACE_SECONDS


def _parse_tip_and_parent(
    block: Mapping[str, Json], known: BlockHash, percentile: int
) -> tuple[Wei | None, BlockHash]:
    """Return the tip that a whole block's transactions paid, and the block's parent."""
    if hash32(block.get("hash"), "the block's hash") != known:
        raise RpcMalformed("the node returned another block")
    base_fee = Wei(quantity(block.get("baseFeePerGas", "0x0"), "the block's base fee"))
    paid = [PaidTip(tip=tip, gas=gas) for tip, gas in paid_tips_of(block, base_fee)]
    parent = BlockHash(hash32(block.get("parentHash"), "the block's parent hash"))
    return paid_percentile(paid, percentile), parent


async def _await_answer(ask: Callable[[int], Awaitable[T]], place: int) -> T:
    return await ask(place)


def _is_temporary(error: RpcRefused | RpcMalformed) -> bool:
    """Return whether a refusal is temporary, the node does not have the block yet."""
    return isinstance(error, RpcRefused) and refusal_kind(error) is RefusalKind.BLOCK_UNKNOWN
