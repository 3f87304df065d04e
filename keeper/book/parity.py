"""
The book held against the contracts' own answers: a rotating sample, block by block.

An account that differs is read again and not acted upon until it agrees. The sample rides in
the aggregate of the block's other reads, so that it costs no request.
"""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from keeper.abilities import AuditsItself
from keeper.book.coverage import DebtCoverage
from keeper.chain.concurrent import each
from keeper.domain.account import AccountHealth
from keeper.domain.decision import SkipReason
from keeper.domain.head import Basis, Head
from keeper.domain.opportunity import Opportunity, Refusal, Window
from keeper.domain.parity import Difference, ParityNews, Subject
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, MarketKey
from keeper.ports import ChainReader, MarketSnapshot

SAMPLE: Final = 8
"""Accounts held against the contracts in every block, all markets together."""
LOOKED_AT: Final = 8 * SAMPLE
"""Accounts considered for a block's sample at most: some cannot be valued."""
CALLS_AT_ONCE: Final = 64
"""Questions per aggregate of a whole audit: a node's gas for one read is limited."""
IN_FLIGHT: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the contracts are asked about one account."""

    subject: Subject
    calls: tuple[Call, ...]


class Parity:
    """Whom to ask about next, and who differs."""

    def __init__(self, sample: int = SAMPLE) -> None:
        self.checked = 0
        self.differed = 0
        self._sample = sample
        self._doubted: dict[Subject, Difference] = {}
        self._waiting: Iterator[Address] = iter(())
        self._turn: MarketKey = MarketKey("")
        self._latest: Mapping[MarketKey, AuditsItself] = {}
        self._news: list[ParityNews] = []
        self._prepared: Sequence[Question] | None = None

    @property
    def doubted(self) -> Mapping[Subject, Difference]:
        """Who differed when last asked, and in what: not to be acted upon."""
        return self._doubted

    def news(self) -> Sequence[ParityNews]:
        """Return what was found since this was asked last."""
        told, self._news = self._news, []
        return told

    def prepare(self) -> None:
        """Choose the next block's sample now, while nothing waits for it."""
        if self._prepared is None:
            self._prepared = self._chosen()

    def questions(self) -> Sequence[Question]:
        """Return this block's sample: those in doubt first, half of it at most."""
        prepared, self._prepared = self._prepared, None
        return self._chosen() if prepared is None else prepared

    def _chosen(self) -> Sequence[Question]:
        again = [one for one in self._doubted if self._can_be_asked(one)][: self._sample // 2]
        for subject in again:  # to the end, so that each has its turn
            self._doubted[subject] = self._doubted.pop(subject)
        chosen, looked = dict.fromkeys(again), 0
        while len(chosen) < self._sample and looked < LOOKED_AT:
            looked += 1
            account = next(self._waiting, None)
            if account is None:
                self._next_market()
            elif self._can_be_asked(subject := (self._turn, account)):
                chosen[subject] = None
        return [
            Question(subject=one, calls=tuple(self._latest[one[0]].audit_calls(one[1])))
            for one in chosen
        ]

    def _can_be_asked(self, subject: Subject) -> bool:
        market, account = subject
        snapshot = self._latest.get(market)
        return snapshot is not None and snapshot.is_auditable(account)

    def _next_market(self) -> None:
        """Let the next market's accounts wait for their turn."""
        markets = sorted(self._latest)
        later = [market for market in markets if market > self._turn] or markets
        if later:
            self._turn = later[0]
            self._waiting = iter(self._latest[self._turn].everyone())

    def judge(
        self,
        questions: Sequence[Question],
        snapshots: Sequence[MarketSnapshot],
        results: Sequence[CallResult],
    ) -> Sequence[Difference]:
        """Compare the answers; return one difference for each account that has to be resynced."""
        self._latest = auditing(snapshots)
        found, at = list[Difference](), 0
        for question in questions:
            answers = results[at : at + len(question.calls)]
            at += len(question.calls)
            market, account = question.subject
            snapshot = self._latest.get(market)
            differences = snapshot.audited(account, answers) if snapshot is not None else None
            if differences is None:
                continue
            self.checked += 1
            if differences:
                found.append(differences[0])
            self._settle(question.subject, differences)
        return found

    def _settle(self, subject: Subject, differences: Sequence[Difference]) -> None:
        before = self._doubted.get(subject)
        if differences:
            self._doubted[subject] = differences[0]
            if before is None:
                self.differed += 1
                self._news.append(ParityNews(difference=differences[0], agrees=False))
        elif before is not None:
            del self._doubted[subject]
            self._news.append(ParityNews(difference=before, agrees=True))

    def guarded(self, snapshots: Sequence[MarketSnapshot]) -> list[MarketSnapshot]:
        """Return the snapshots such that nobody in doubt is acted upon."""
        if not self._doubted:
            return list(snapshots)
        by_market: dict[MarketKey, dict[Address, Difference]] = {}
        for (market, account), difference in self._doubted.items():
            by_market.setdefault(market, {})[account] = difference
        return [
            Guarded.by_words(
                one, {who: _words(what) for who, what in by_market[one.market].items()}
            )
            if one.market in by_market
            else one
            for one in snapshots
        ]


class Guarded:
    """A snapshot in every respect, but for what may be done with the accounts in doubt."""

    def __init__(self, snapshot: MarketSnapshot, doubts: Mapping[Address, str]) -> None:
        self.snapshot = snapshot
        self.doubts = doubts

    @classmethod
    def by_words(cls, snapshot: MarketSnapshot, doubts: Mapping[Address, str]) -> MarketSnapshot:
        """Return the snapshot with these accounts in doubt, each with what is said of it."""
        return cast(MarketSnapshot, _as_able_as(type(snapshot))(snapshot, doubts))

    def opportunities(
        self, account: Address, window: Window
    ) -> tuple[Sequence[Opportunity], Sequence[Refusal]]:
        """Return the snapshot's; for an account in doubt nothing, with what differs."""
        detail = self.doubts.get(account)
        if detail is None:
            return self.snapshot.opportunities(account, window)
        return (), (Refusal(reason=SkipReason.PARITY, detail=detail),)


@functools.cache
def _as_able_as(kind: type) -> type[Guarded]:
    """
    Return ``Guarded`` with all that this kind of snapshot can do, handed on to it.

    Named one by one: from Python 3.12 a protocol's check does not ask ``__getattr__``.
    """
    names = {one for one in dir(kind) if not one.startswith("_")} - set(dir(Guarded))
    names |= (
        {one.name for one in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    )
    return type(Guarded.__name__, (Guarded,), {one: _handed_on(one) for one in names})


def _handed_on(name: str) -> property:
    def asked(self: Guarded) -> Any:  # noqa: ANN401 (whatever the snapshot has)
        return getattr(self.snapshot, name)

    return property(asked)


def _words(difference: Difference) -> str:
    return (
        f"the book differs from the contract: {difference.what} is {difference.ours}"
        f" here and {difference.theirs} there"
    )


def auditing(snapshots: Sequence[MarketSnapshot]) -> dict[MarketKey, AuditsItself]:
    """Return the snapshots that can be audited, by market."""
    return {one.market: one for one in snapshots if isinstance(one, AuditsItself)}


@dataclass(frozen=True, slots=True, kw_only=True)
class BookAudit:
    """
    A whole book against the contracts at one block.

    ``accounts`` were compared, ``not_compared`` could not be: no price is known, or the
    market has no audit. ``differences`` has a line for each figure. ``coverage`` is of the debt.
    ``kept_block`` is where the kept book was that was audited; None where there was none.
    ``missing`` are the borrowers that the history names and the book lacks; None where it was
    not read.
    """

    head: Head
    accounts: int
    not_compared: int
    differences: tuple[Difference, ...]
    coverage: DebtCoverage = field(default_factory=DebtCoverage)
    kept_block: int | None = None
    missing: tuple[AccountHealth, ...] | None = None

    @property
    def is_uncovered(self) -> bool:
        """Whether more debt than the limit is owed by no account of the book."""
        return any(map(self.coverage.is_uncovered, self.coverage.totals()))

    @property
    def differing(self) -> int:
        """How many accounts differ."""
        return len({one.subject for one in self.differences})


async def audited_book(
    reader: ChainReader, head: Head, snapshots: Sequence[MarketSnapshot]
) -> BookAudit:
    """
    Compare every account that is followed with the contracts' own answer at ``head``.

    Raises:
        RpcUnavailable: the endpoint did not answer in time.
        SnapshotReorged: the block is no longer canonical.
    """
    audits = auditing(snapshots)
    subjects = [
        (market, account)
        for market, snapshot in audits.items()
        for account in snapshot.everyone()
        if snapshot.is_auditable(account)
    ]
    questions = [
        Question(subject=(market, account), calls=tuple(audits[market].audit_calls(account)))
        for market, account in subjects
    ]

    async def asked(part: Sequence[Question]) -> list[Sequence[Difference] | None]:
        calls = [call for question in part for call in question.calls]
        answers = iter(await reader.aggregate(calls, Basis(block_hash=head.hash)))
        return [
            audits[one.subject[0]].audited(one.subject[1], [next(answers) for _ in one.calls])
            for one in part
        ]

    parts = await each(_slices(questions), asked, in_flight=IN_FLIGHT)
    verdicts = [verdict for part in parts for verdict in part]
    compared = [one for one in verdicts if one is not None]
    followed = sum(len(one.everyone()) for one in audits.values())
    unaudited = sum(len(one.accounts()) for one in snapshots if one.market not in audits)
    return BookAudit(
        head=head,
        accounts=len(compared),
        not_compared=followed - len(compared) + unaudited,
        differences=tuple(difference for one in compared for difference in one),
    )


def _slices(questions: Sequence[Question]) -> list[Sequence[Question]]:
    """Cut the questions so that no part asks more than ``CALLS_AT_ONCE``."""
    size = max(1, CALLS_AT_ONCE // max((len(one.calls) for one in questions), default=1))
    return [questions[at : at + size] for at in range(0, len(questions), size)]
