"""Departure of one head's transactions, portion by portion."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from keeper.chain.concurrent import begin
from keeper.domain.decision import Decision, Liquidate, SkipReason
from keeper.domain.errors import JournalError, NotBroadcast, OutcomeUnknown
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.plan import Batch, News, Plan
from keeper.execution.failpoints import reached
from keeper.observe.stages import Stage, Unwatched, Watch
from keeper.parts import Calls, HoldsBack, PreparesFacts
from keeper.ports import MarketSnapshot, Submitter
from keeper.strategy.attempts import skip_plan

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Departures:
    """Passes the transactions of a head to the submitter as soon as they are ready.

    ``left`` are the accounts of submitted transactions, ``refusals`` the reasons of the others.
    ``unkept`` is the journal's last failure. ``is_unclear`` states that a transaction may or may
    not have been sent.
    """

    submitter: Submitter
    left: set[Subject] = field(default_factory=set)
    refusals: dict[Subject, str] = field(default_factory=dict)
    unkept: JournalError | None = None
    is_unclear: bool = False
    _calls: Calls | None = None
    _watch: Watch = field(default_factory=Unwatched)
    _snapshots: Sequence[MarketSnapshot] = ()
    _waiting: list[Batch] = field(default_factory=list)
    _handed: list[Batch] = field(default_factory=list)
    _is_decided: bool = False
    _preparing: asyncio.Task[None] | None = None

    def begin(
        self,
        snapshots: Sequence[MarketSnapshot],
        waiting: Sequence[Batch],
        calls: Calls | None,
        watch: Watch,
    ) -> None:
        """Start a head with nothing submitted. ``waiting`` comes before the first portion."""
        if self._preparing is not None:
            self._preparing.cancel()
        self._snapshots, self._calls, self._watch = snapshots, calls, watch
        self._waiting, self._handed = list(waiting), []
        self.left, self.refusals = set(), {}
        self.unkept, self.is_unclear, self._is_decided = None, False, False

    def not_handed(self, batches: Sequence[Batch]) -> list[Batch]:
        """List a head's transactions that were not passed to the submitter yet."""
        return [batch for batch in batches if batch not in self._handed]

    def prepare(self, head: Head, plans: Sequence[Plan]) -> None:
        """Start computing what is stored with the plans' nonces, without waiting for it."""
        if isinstance(self._calls, PreparesFacts):
            subjects = {(plan.market, plan.account) for plan in plans}
            self._preparing = begin(self._calls.prepare(head, self._snapshots, subjects))

    async def leave(
        self, head: Head, batches: Sequence[Batch], losses: Mapping[Subject, int]
    ) -> bool:
        """Reserve the losses and submit transactions. Returns whether further ones may follow.

        The block's facts of their accounts are persisted in the journal with their nonces.

        Raises:
            JournalError: the losses cannot be persisted. Nothing of this head was submitted.
        """
        together = [*self._waiting, *batches]
        subjects = {(plan.market, plan.account) for batch in together for plan in batch.plans}
        try:
            news = await self._prepare_actions(head, subjects, losses)
        except JournalError as error:
            if not self._handed:
                raise
            self.unkept = error
            self._handed += together
            self.refusals.update(dict.fromkeys(subjects, str(error)))
            return False
        self.pass_decided(head)
        self._waiting.clear()
        self._handed += together
        if not together:
            return True
        left = await self._submit_batches(together, head, news)
        if left is None:
            return False
        await self._release_reservations(
            [subject for subject in losses if subject not in left], head
        )
        return bool(left) and self.unkept is None

    def pass_decided(self, head: Head) -> None:
        """Note, once per head, that the first transactions are decided."""
        if not self._is_decided:
            self._is_decided = True
            self._watch.passed(Stage.DECIDED, head)
            reached("K1")

    async def _prepare_actions(
        self, head: Head, subjects: set[Subject], losses: Mapping[Subject, int]
    ) -> News | None:
        if self._calls is None:
            return None
        return await self._calls.acting(head, self._snapshots, subjects, losses)

    async def _submit_batches(
        self, batches: Sequence[Batch], head: Head, news: News | None
    ) -> set[Subject] | None:
        """Return the accounts of the submitted transactions. None if the outcome is unknown."""
        taken: Sequence[Batch] = ()
        try:
            taken = await self.submitter.submit(batches, head, news=news)
            why = (
                self._get_hold_reason()
                or "gas is too expensive for it now, or too much is in flight"
            )
        except (NotBroadcast, JournalError) as error:
            why = str(error)
            if isinstance(error, JournalError):
                self.unkept = error
        except OutcomeUnknown as error:
            log.warning("send_unclear block=%d reason=%s", head.number, error)
            self.is_unclear = True
            return None
        if taken and not self.left:
            self._watch.passed(Stage.SUBMITTED, head)
        left = {(plan.market, plan.account) for batch in taken for plan in batch.plans}
        wanted = {(plan.market, plan.account) for batch in batches for plan in batch.plans}
        self.left |= left
        self.refusals.update(dict.fromkeys(wanted - left, why))
        return left

    def decisions(self, decisions: Sequence[Decision]) -> list[Decision]:
        """Return the decisions, with skips in place of plans that were not submitted."""
        return [
            skip_plan(
                decision.plan,
                SkipReason.NOT_SENT,
                self.refusals[decision.market, decision.account],
            )
            if isinstance(decision, Liquidate)
            and (decision.market, decision.account) in self.refusals
            else decision
            for decision in decisions
        ]

    async def _release_reservations(self, subjects: Sequence[Subject], head: Head) -> None:
        """Release the reservations of plans that were not sent."""
        if self._calls is None or not subjects:
            return
        try:
            await self._calls.released(subjects, head)
        except JournalError as error:
            self.unkept = error
            log.warning(
                "subsidy_kept_back block=%d code=%s reason=%s", head.number, error.code, error
            )

    def _get_hold_reason(self) -> str:
        return self.submitter.held if isinstance(self.submitter, HoldsBack) else ""
