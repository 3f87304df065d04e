"""The running node: follows the chain, decides at every head, keeps the record."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from keeper.domain.account import AccountHealth
from keeper.domain.decision import Decision, Liquidate, Skip, SkipReason
from keeper.domain.errors import ChainError, NotBroadcast
from keeper.domain.head import Head
from keeper.domain.units import Address, MarketKey
from keeper.latest import Latest
from keeper.observe.events import (
    Event,
    decision_event,
    head_event,
    trouble_event,
)
from keeper.pipeline import Decided, InFlight
from keeper.ports import DecisionLog, HeadSource, MarketBook, MarketSnapshot, Submitter

log = logging.getLogger(__name__)

Decide = Callable[[Head, Sequence[MarketSnapshot], InFlight], Awaitable[Decided]]
"""The pipeline, with what it needs bound to it."""


@dataclass(slots=True, kw_only=True)
class Node:
    """
    One keeper following one chain.

    Without ``decide`` it observes: health is read and told, nothing is planned.
    ``drain_seconds`` bounds how long a bounded run waits for what it has sent; 0: not at all.
    """

    heads: HeadSource
    book: MarketBook
    decide: Decide | None
    submitter: Submitter
    decisions: DecisionLog
    emit: Callable[[Event], None]
    drain_seconds: float = 60.0
    _told: dict[tuple[str, str], object] = field(default_factory=dict)

    async def run(self, blocks: int | None = None) -> None:
        """Act on every head until cancelled, or on ``blocks`` heads and see them through."""
        newest: Latest[Head] = Latest()
        try:
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(self._follow(newest), name="follow-heads")
                await self._act(newest, blocks)
                following.cancel()
        except BaseExceptionGroup as group:
            raise _first(group) from group

    async def _follow(self, newest: Latest[Head]) -> None:
        async for head in self.heads.heads():
            newest.put(head)

    async def _act(self, newest: Latest[Head], blocks: int | None) -> None:
        handled = 0
        while blocks is None or handled < blocks:
            handled += await self._handled(await newest.get())
        try:
            async with asyncio.timeout(self.drain_seconds):
                while self.drain_seconds and self.submitter.in_flight():
                    await self._followed(await newest.get())
        except TimeoutError:
            log.warning("still in flight after %s s; the journal has it", self.drain_seconds)

    async def _handled(self, head: Head) -> bool:
        """Do one head's whole work; False when the block could not be read."""
        try:
            snapshots = await self.book.advance(head)
            self._tell_markets(head, snapshots)
            accounts = [one for snapshot in snapshots for one in snapshot.accounts()]
            await self._look_after(head, accounts)
            result = await self._decided(head, snapshots)
        except ChainError as error:
            log.warning("block_skipped block=%d code=%s reason=%s", head.number, error.code, error)
            return False
        await self._submitted(result)
        self._tell_decisions(result.decisions, head)
        unhealthy = [one for one in accounts if one.liquidatable]
        self.emit(
            head_event(
                head, markets=len(snapshots), accounts=len(accounts), unhealthy=len(unhealthy)
            )
        )
        await self.decisions.record(head, result.decisions, result.health)
        return True

    async def _followed(self, head: Head) -> None:
        """Read a head only to look after what is in flight."""
        try:
            snapshots = await self.book.advance(head)
            accounts = [one for snapshot in snapshots for one in snapshot.accounts()]
            await self._look_after(head, accounts)
        except ChainError as error:
            log.warning("block_skipped block=%d code=%s reason=%s", head.number, error.code, error)

    async def _look_after(self, head: Head, accounts: Sequence[AccountHealth]) -> None:
        if not self.submitter.in_flight():
            return
        unhealthy = {(one.market, one.account) for one in accounts if one.liquidatable}

        def still_unhealthy(market: MarketKey, account: Address) -> bool:
            return (market, account) in unhealthy

        await self.submitter.follow(head, still_unhealthy)

    async def _decided(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> Decided:
        if self.decide is None:
            return Decided(head=head)
        return await self.decide(head, snapshots, self.submitter.in_flight())

    async def _submitted(self, result: Decided) -> None:
        """Hand the batches over; what could not leave becomes a skip with its reason."""
        if not result.batches:
            return
        try:
            await self.submitter.submit(result.batches, result.head)
        except NotBroadcast as error:
            result.decisions = [
                Skip(
                    market=one.market,
                    account=one.account,
                    reason=SkipReason.NOT_SENT,
                    detail=str(error),
                    net_profit=one.plan.net_profit,
                )
                if isinstance(one, Liquidate)
                else one
                for one in result.decisions
            ]

    def _tell_decisions(self, decisions: Sequence[Decision], head: Head) -> None:
        """Emit what changed: every liquidation, and each skip whose reason is a new one."""
        for one in decisions:
            key = (str(one.market), str(one.account))
            if isinstance(one, Liquidate):
                self._told.pop(key, None)
            elif self._told.get(key) == one.reason:
                continue
            else:
                self._told[key] = one.reason
            self.emit(decision_event(one, head))

    def _tell_markets(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        told: dict[tuple[str, str], object] = {
            ("quarantine", str(market)): why for market, why in self.book.quarantined.items()
        }
        for one in snapshots:
            if one.warnings:
                told["warning", str(one.market)] = tuple(one.warnings)
        for key, what in told.items():
            if self._told.get(key) != what:
                kind, market = key
                self.emit(trouble_event(kind, market, what, head))
        for key in [one for one in self._told if one[0] in ("quarantine", "warning")]:
            if key not in told:
                del self._told[key]
        self._told.update(told)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the group's first error: one is enough to stop, and one line to tell it."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
