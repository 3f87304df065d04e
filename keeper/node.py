"""The running node. Follows the chain, plans at every head, and records decisions."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from keeper.abilities import DefersChecks, KeepsItself
from keeper.domain.decision import Decision, Liquidate
from keeper.domain.errors import (
    BreakerOpen,
    ChainError,
    JournalError,
    SnapshotReorged,
)
from keeper.domain.head import Head
from keeper.domain.plan import Batch
from keeper.domain.restraint import FREE, Restraint
from keeper.domain.units import Address, MarketKey
from keeper.execution.failpoints import reached
from keeper.execution.following import Following
from keeper.latest import Latest
from keeper.observe.book_news import book_news
from keeper.observe.census import census
from keeper.observe.events import (
    Event,
    decision_event,
    head_event,
    trouble_event,
)
from keeper.observe.stages import Stage, Unwatched, Watch
from keeper.parts import Calls, Clears, Cures, Decide, HoldsBack, StandingOf
from keeper.pipeline import Decided
from keeper.ports import DecisionLog, Given, HeadSource, MarketBook, MarketSnapshot, Submitter
from keeper.risk.tiers import Tier
from keeper.stages.departing import Departures

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Node:
    """One keeper that follows one chain.

    Without ``decide`` it observes. Health is read and reported, nothing is planned.
    ``drain_seconds`` bounds how long a bounded run waits for its transactions in flight (0 does not
    wait). While transactions are in flight and no block arrives, they are followed every
    ``quiet_seconds``. Following them takes at most ``follow_seconds`` of a block, and continues in
    the background. ``departures`` are those of ``decide``, if it lets transactions leave while it
    still plans.
    """

    heads: HeadSource
    book: MarketBook
    decide: Decide | None
    submitter: Submitter
    decisions: DecisionLog
    emit: Callable[[Event], None]
    calls: Calls | None = None
    drain_seconds: float = 60.0
    quiet_seconds: float = 30.0
    follow_seconds: float = 1.0
    watch: Watch = field(default_factory=Unwatched)
    cures: Cures | None = None
    clears: Clears | None = None
    standing_of: StandingOf = lambda _: None
    departures: Departures | None = None
    _last_emitted: dict[tuple[str, str], object] = field(default_factory=dict)
    _read: tuple[Head, Sequence[MarketSnapshot]] | None = None
    _unkept: JournalError | None = None
    _following: Following = field(init=False)
    _departures: Departures = field(init=False)

    def __post_init__(self) -> None:
        self._departures = self.departures or Departures(submitter=self.submitter)
        self._following = Following(submitter=self.submitter, seconds=self.follow_seconds)

    @property
    def head(self) -> Head | None:
        """The block that was read last."""
        return None if self._read is None else self._read[0]

    async def run(self, blocks: int | None = None) -> None:
        """Act on every head until cancelled, or on ``blocks`` heads until their transactions end.

        Raises:
            BreakerOpen: after ``blocks`` heads a limit holds transactions.
            JournalError: after ``blocks`` heads, if some of their data could not be stored.
        """
        newest: Latest[Head] = Latest()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._following.tasks = tasks
                following = tasks.create_task(self._follow_heads(newest), name="follow-heads")
                await self._run_loop(newest, blocks)
                following.cancel()
                await self._following.end()
        except BaseExceptionGroup as group:
            raise _find_first_error(group) from group
        unkept = self._unkept or self._following.unkept
        if unkept is not None:
            raise unkept
        held = self._get_hold_reason()
        if held:
            raise BreakerOpen(held, hint="see `keeper breaker list`")

    def _get_hold_reason(self) -> str:
        return self.submitter.held if isinstance(self.submitter, HoldsBack) else ""

    async def _follow_heads(self, newest: Latest[Head]) -> None:
        async for head in self.heads.heads():
            self.watch.passed(Stage.HEAD, head)
            newest.put(head)

    async def _run_loop(self, newest: Latest[Head], blocks: int | None) -> None:
        handled = 0
        while blocks is None or handled < blocks:
            handled += await self._run_block(await self._wait_for_head(newest))
        try:
            async with asyncio.timeout(self.drain_seconds):
                while self.drain_seconds and self.submitter.in_flight():
                    await self._drain_block(await self._wait_for_head(newest))
        except TimeoutError:
            log.warning("still in flight after %s s; the journal has it", self.drain_seconds)

    async def _wait_for_head(self, newest: Latest[Head]) -> Head:
        """Wait for the next head, and follow transactions in flight meanwhile."""
        while self._read is not None and self.submitter.in_flight():
            try:
                async with asyncio.timeout(self.quiet_seconds):
                    return await newest.get()
            except TimeoutError:
                await self._follow_submissions(*self._read)
        return await newest.get()

    async def _run_block(self, head: Head) -> bool:
        """Do all work of one head. Return False if the block could not be read."""
        self.watch.passed(Stage.TAKEN, head)
        try:
            snapshots = await self.book.advance(head)
        except ChainError as error:
            self._report_skipped_block(head, error)
            if self.submitter.in_flight():
                await self._follow_submissions(head, ())
            return False
        self.watch.passed(Stage.READ, head)
        self._emit_markets(head, snapshots)
        self._read = (head, snapshots)
        reached("K0")
        sent_before = bool(self.submitter.in_flight())
        if sent_before:
            await self._follow_submissions(head, snapshots)
        try:
            cures = await self._plan_cures(head, snapshots)
            self._departures.begin(snapshots, cures, self.calls, self.watch)
            result = await self._plan_liquidations(head, snapshots, cures)
            self._departures.pass_decided(head)
        except ChainError as error:
            self._run_deferred_checks(head)
            self._report_skipped_block(head, error)
            if not isinstance(error, SnapshotReorged):
                await self._send_margin_calls(head, snapshots)  # what was read is told all the same
            return False
        sent_now = self._apply_departures(result)
        self._run_deferred_checks(head)
        self._emit_decisions(result.decisions, head)
        await self._send_margin_calls(head, snapshots)
        self._emit_block(head, snapshots)
        await self._record_block(result, snapshots)
        self.watch.passed(Stage.RECORDED, head)
        self.watch.done(head, snapshots)
        if isinstance(self.book, KeepsItself):
            self.book.keep()
        if not sent_before and not sent_now:
            await self._follow_submissions(head, snapshots)
        return True

    def _run_deferred_checks(self, head: Head) -> None:
        """Run the checks that were deferred until after the sends, and emit the book's events."""
        if isinstance(self.book, DefersChecks):
            self.book.settle()
        for event in book_news(self.book, head):
            self.emit(event)

    def _report_skipped_block(self, head: Head, error: ChainError) -> None:
        self.watch.skipped(head, error)
        log.warning("block_skipped block=%d code=%s reason=%s", head.number, error.code, error)

    async def _record_block(self, result: Decided, snapshots: Sequence[MarketSnapshot]) -> None:
        """Store the decisions. A failing journal stops signing but not watching."""
        given = Given(snapshots=snapshots, inputs=result.inputs)
        try:
            await self.decisions.record(result.head, result.decisions, result.health, given)
        except JournalError as error:
            self._unkept = error
            log.warning("not_recorded block=%d reason=%s", result.head.number, error)

    async def _drain_block(self, head: Head) -> None:
        """Read a head only to follow transactions in flight."""
        try:
            snapshots = await self.book.advance(head)
            self._read = (head, snapshots)
            await self._follow_submissions(head, snapshots)
        except ChainError as error:
            log.warning("block_skipped block=%d code=%s reason=%s", head.number, error.code, error)

    async def _follow_submissions(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Follow transactions in flight. An unreadable account counts as still unhealthy."""
        read = {one.market: one for one in snapshots}

        def still_unhealthy(market: MarketKey, account: Address) -> bool:
            snapshot = read.get(market)
            if snapshot is None:
                return True
            health = snapshot.account(account)
            if health is None:
                return False
            cured = self.cures is not None and self.cures.still_needs(health)
            return health.liquidatable or bool(health.unpriced) or cured

        await self._following.look(head, still_unhealthy)

    async def _plan_cures(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> list[Batch]:
        if self.cures is None:
            return []
        in_flight = self.submitter.in_flight()
        try:
            return await self.cures.batches(head, snapshots, in_flight, self.standing_of)
        except (ChainError, JournalError) as error:
            log.warning("no_cures block=%d code=%s reason=%s", head.number, error.code, error)
            return []

    async def _plan_liquidations(
        self, head: Head, snapshots: Sequence[MarketSnapshot], cures: Sequence[Batch]
    ) -> Decided:
        """Plan all liquidatable accounts except those with a cure in this block."""
        if self.decide is None:
            await self._report_clearable(head, snapshots)
            return Decided(head=head)
        cured = {(plan.market, plan.account) for batch in cures for plan in batch.plans}
        in_flight = self.submitter.in_flight() | cured
        try:
            restraint = FREE if self.calls is None else await self.calls.restraint(head, snapshots)
            result = await self.decide(head, snapshots, in_flight, restraint=restraint)
            early = self._departures.left | self._departures.refusals.keys()
            await self._add_clearances(result, snapshots, restraint)
            if self.calls is not None and result.inputs is not None:
                result.inputs.basis = self.calls.basis(head)
            losses = {one: loss for one, loss in result.losses.items() if one not in early}
            rest = self._departures.not_handed(result.batches)
            if not self._departures.is_unclear:
                await self._departures.leave(head, rest, losses)
        except JournalError as error:
            self._note_journal_error("nothing_decided", head, error)
            return Decided(head=head)
        return result

    async def _add_clearances(
        self, result: Decided, snapshots: Sequence[MarketSnapshot], restraint: Restraint
    ) -> None:
        """Add the vault's clearings. Each may use up the account's subsidy, like a loss."""
        if self.clears is None:
            return
        head = result.head
        try:
            made = await self.clears.batches(head, snapshots, result.decisions, restraint)
        except ChainError as error:
            log.warning("no_clears block=%d code=%s reason=%s", head.number, error.code, error)
            return
        result.batches = [*result.batches, *made]
        for plan in (plan for batch in made for plan in batch.plans):
            subject = (plan.market, plan.account)
            result.losses[subject] = restraint.subsidies[subject]

    async def _report_clearable(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Report accounts that the vault could clear, in a mode that neither plans nor sends."""
        if self.clears is None or self.calls is None:
            return
        try:
            restraint = await self.calls.restraint(head, snapshots)
            await self.clears.batches(head, snapshots, None, restraint)
        except JournalError as error:
            self._note_journal_error("nothing_told", head, error)

    def _note_journal_error(self, what: str, head: Head, error: JournalError) -> None:
        """Continue without acting. Health is still reported, and the run ends with the error."""
        self._unkept = error
        log.warning("%s block=%d code=%s reason=%s", what, head.number, error.code, error)

    async def _send_margin_calls(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Send margin-call notices. Defer them to the next block on read errors."""
        if self.calls is None:
            return
        try:
            await self.calls.told(head, snapshots)
        except ChainError as error:
            log.warning("calls_put_off block=%d code=%s reason=%s", head.number, error.code, error)
        except JournalError as error:
            self._note_journal_error("calls_put_off", head, error)

    def _apply_departures(self, result: Decided) -> bool:
        """Turn unsent plans into skips. Return whether a transaction left, or may have."""
        departures = self._departures
        self._unkept = departures.unkept or self._unkept
        result.decisions = departures.decisions(result.decisions)
        return bool(departures.left) or departures.is_unclear

    def _emit_decisions(self, decisions: Sequence[Decision], head: Head) -> None:
        """Emit every liquidation, and each skip with a changed reason."""
        for one in decisions:
            key = (str(one.market), str(one.account))
            if isinstance(one, Liquidate):
                self._last_emitted.pop(key, None)
            elif self._last_emitted.get(key) == one.reason:
                continue
            else:
                self._last_emitted[key] = one.reason
            self.emit(decision_event(one, head))

    def _emit_block(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        found = [census(one) for one in snapshots]
        accounts = sum(sum(one.values()) for one in found)
        unhealthy = sum(one.get(Tier.LIQUIDATABLE, 0) for one in found)
        self.emit(head_event(head, markets=len(snapshots), accounts=accounts, unhealthy=unhealthy))

    def _emit_markets(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        told: dict[tuple[str, str], object] = {
            ("quarantine", str(market)): why for market, why in self.book.quarantined.items()
        }
        for one in snapshots:
            if one.warnings:
                told["warning", str(one.market)] = tuple(one.warnings)
        for key, what in told.items():
            if self._last_emitted.get(key) != what:
                kind, market = key
                self.emit(trouble_event(kind, market, what, head))
        for key in [one for one in self._last_emitted if one[0] in ("quarantine", "warning")]:
            if key not in told:
                del self._last_emitted[key]
        self._last_emitted.update(told)


def _find_first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group, without nesting."""
    first = group.exceptions[0]
    return _find_first_error(first) if isinstance(first, BaseExceptionGroup) else first
