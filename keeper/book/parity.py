"""Reconciliation of the book with the contracts by a rotating sample in each block.

A differing account is read again and not acted upon until it agrees. The sample is part of the
block's aggregate, so it costs no request.
"""

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from keeper.ports import ChainReader, MarketSnapshot, ScreensAccounts

SAMPLE: Final = 8
"""Accounts compared with the contracts in every block, in all markets together."""
LOOKED_AT: Final = 8 * SAMPLE
"""Maximum of accounts considered for a block's sample, since some cannot be valued."""
CALLS_AT_ONCE: Final = 64
"""Calls per aggregate of a whole audit, since a node limits the gas of a read."""
IN_FLIGHT: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The contract calls that verify one account."""

    subject: Subject
    calls: tuple[Call, ...]


class Parity:
    """Rotation of the sampled accounts, and the differing ones."""

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
        """The differing accounts with their difference, which are not acted upon."""
        return self._doubted

    def news(self) -> Sequence[ParityNews]:
        """Return the changes since the last call."""
        told, self._news = self._news, []
        return told

    def prepare(self) -> None:
        """Choose the next block's sample in advance, while nothing waits for it."""
        if self._prepared is None:
            self._prepared = self._choose_sample()

    def questions(self) -> Sequence[Question]:
        """Return this block's sample. Up to half of it are differing accounts."""
        prepared, self._prepared = self._prepared, None
        return self._choose_sample() if prepared is None else prepared

    def _choose_sample(self) -> Sequence[Question]:
        again = [one for one in self._doubted if self._can_be_asked(one)][: self._sample // 2]
        for subject in again:  # to the end, for the rotation
            self._doubted[subject] = self._doubted.pop(subject)
        chosen, looked = dict.fromkeys(again), 0
        while len(chosen) < self._sample and looked < LOOKED_AT:
            looked += 1
            account = next(self._waiting, None)
            if account is None:
                self._select_next_market()
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

    def _select_next_market(self) -> None:
        """Continue with the accounts of the next market."""
        markets = sorted(self._latest)
        later = [market for market in markets if market > self._turn] or markets
        if later:
            self._turn = later[0]
            self._waiting = iter(self._latest[self._turn].everyone())

    def find_urgent(
        self, questions: Sequence[Question], snapshots: Sequence[MarketSnapshot]
    ) -> frozenset[Subject]:
        """Return the accounts of a sample that this block may act on, or that are in doubt."""
        unscreened = {one.market for one in snapshots if not isinstance(one, ScreensAccounts)}
        unhealthy = {
            (health.market, health.account)
            for one in snapshots
            if isinstance(one, ScreensAccounts)
            for health in one.liquidatable()
        }
        subjects = (question.subject for question in questions)
        return frozenset(
            one
            for one in subjects
            if one in unhealthy or one in self._doubted or one[0] in unscreened
        )

    def judge(
        self,
        questions: Sequence[Question],
        snapshots: Sequence[MarketSnapshot],
        results: Sequence[CallResult],
        left_out: Collection[Subject] = (),
    ) -> Sequence[Difference]:
        """Compare the answers, and return a difference for each account to be read again.

        Those ``left_out`` are not compared.
        """
        self._latest = auditing(snapshots)
        found, at = list[Difference](), 0
        for question in questions:
            answers = results[at : at + len(question.calls)]
            at += len(question.calls)
            if question.subject in left_out:
                continue
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
        """Return the snapshots without opportunities of differing accounts."""
        if not self._doubted:
            return list(snapshots)
        by_market: dict[MarketKey, dict[Address, Difference]] = {}
        for (market, account), difference in self._doubted.items():
            by_market.setdefault(market, {})[account] = difference
        return [
            Guarded.by_words(
                one,
                {who: _describe_difference(what) for who, what in by_market[one.market].items()},
            )
            if one.market in by_market
            else one
            for one in snapshots
        ]


class Guarded:
    """A snapshot without opportunities for the accounts in doubt."""

    def __init__(self, snapshot: MarketSnapshot, doubts: Mapping[Address, str]) -> None:
        self.snapshot = snapshot
        self.doubts = doubts

    @classmethod
    def by_words(cls, snapshot: MarketSnapshot, doubts: Mapping[Address, str]) -> MarketSnapshot:
        """Return the snapshot with these accounts in doubt, each with the reason."""
        return cast(MarketSnapshot, _build_delegating_class(type(snapshot))(snapshot, doubts))

    def opportunities(
        self, account: Address, window: Window
    ) -> tuple[Sequence[Opportunity], Sequence[Refusal]]:
        """Return the snapshot's opportunities, or a refusal for an account in doubt."""
        detail = self.doubts.get(account)
        if detail is None:
            return self.snapshot.opportunities(account, window)
        return (), (Refusal(reason=SkipReason.PARITY, detail=detail),)


@functools.cache
def _build_delegating_class(kind: type) -> type[Guarded]:
    """Return a subclass with all attributes of this kind of snapshot delegated to it.

    Attributes are named explicitly, since from Python 3.12 a protocol check does not use
    ``__getattr__``.
    """
    names = {one for one in dir(kind) if not one.startswith("_")} - set(dir(Guarded))
    names |= (
        {one.name for one in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    )
    return type(Guarded.__name__, (Guarded,), {one: _build_delegate(one) for one in names})


def _build_delegate(name: str) -> property:
    def asked(self: Guarded) -> Any:  # noqa: ANN401 (whatever the snapshot has)
        return getattr(self.snapshot, name)

    return property(asked)


def _describe_difference(difference: Difference) -> str:
    return (
        f"the book differs from the contract: {difference.what} is {difference.ours}"
        f" here and {difference.theirs} there"
    )


def auditing(snapshots: Sequence[MarketSnapshot]) -> dict[MarketKey, AuditsItself]:
    """Return the snapshots that support audits, by market."""
    return {one.market: one for one in snapshots if isinstance(one, AuditsItself)}


@dataclass(frozen=True, slots=True, kw_only=True)
class BookAudit:
    """Comparison of a whole book with the contracts at one block.

    ``accounts`` were compared. ``not_compared`` could not be, without a price or an audit of the
    market. ``differences`` has an element for each figure. ``coverage`` is the coverage of debt.
    ``kept_block`` is the block of the stored book, None without one. ``missing`` are the borrowers
    of the history that the book lacks, None where it was not read.
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
        """Whether more debt than the limit belongs to no account of the book."""
        return any(map(self.coverage.is_uncovered, self.coverage.totals()))

    @property
    def differing(self) -> int:
        """The number of differing accounts."""
        return len({one.subject for one in self.differences})


async def audited_book(
    reader: ChainReader, head: Head, snapshots: Sequence[MarketSnapshot]
) -> BookAudit:
    """Compare every followed account with the contracts' own answer at ``head``.

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

    parts = await each(_split_questions(questions), asked, in_flight=IN_FLIGHT)
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


def _split_questions(questions: Sequence[Question]) -> list[Sequence[Question]]:
    """Split the questions into parts of at most ``CALLS_AT_ONCE`` calls."""
    size = max(1, CALLS_AT_ONCE // max((len(one.calls) for one in questions), default=1))
    return [questions[at : at + size] for at in range(0, len(questions), size)]
