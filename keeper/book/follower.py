"""
Follows the logs of every market, block by block, through gaps and reorganisations.

Per block: one log query for all the markets, one aggregate for all of their reads. Logs are
noted before anything is read, and stay noted in the market until a read succeeds, so that a
failed advance loses nothing: the next one covers it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.abilities import Resyncs
from keeper.book.branch import Branch, branch_to, logs_of
from keeper.book.parity import Parity
from keeper.book.trail import DEPTH, Trail
from keeper.domain.errors import (
    ChainError,
    HistoryPruned,
    MarketUnreadable,
    RpcMalformed,
    RpcRefused,
)
from keeper.domain.head import Basis, Head
from keeper.domain.parity import Difference, ParityNews
from keeper.domain.reads import Call, CallResult, LogFilter, LogTable
from keeper.domain.units import Address, MarketKey, deployment
from keeper.ports import ChainReader, LendingMarket, MarketSnapshot

LONGEST_REST: Final = 64
"""The most blocks between two attempts to read a quarantined market."""

ITS_OWN_FAULT: Final = (MarketUnreadable, HistoryPruned, RpcRefused, RpcMalformed)
"""What quarantines one market; any other error concerns the node, and so all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a market is: ``stage`` is discover, history, load, ready or quarantined."""

    market: MarketKey
    stage: str
    done: int = 0
    total: int = 0
    detail: str = ""


@dataclass(slots=True)
class _Followed:
    """One market and where it stands; ``loaded_at`` is the block it was last loaded at."""

    market: LendingMarket
    loaded_at: int | None = None
    borrowers: set[Address] = field(default_factory=set)
    scanned_to: int | None = None
    fault: str = ""
    failures: int = 0
    rests_until: int = 0

    def is_due(self, head: Head) -> bool:
        """Whether to read the market at this head."""
        return not self.fault or head.number >= self.rests_until

    def failed(self, head: Head, error: ChainError) -> None:
        """Quarantine the market, for longer each time."""
        told = str(error) or type(error).__name__
        self.fault = f"{told}; {error.hint}" if error.hint else told
        self.rests_until = head.number + min(2**self.failures, LONGEST_REST)
        self.failures = min(self.failures + 1, LONGEST_REST)

    def recovered(self) -> None:
        """End the quarantine."""
        self.fault, self.failures = "", 0


class Follower:
    """``MarketBook`` over a chain: all the markets, moved forward head by head."""

    def __init__(self, reader: ChainReader, markets: Sequence[LendingMarket]) -> None:
        self._reader = reader
        self._followed = [_Followed(market) for market in markets]
        self._trail = Trail()
        self.parity = Parity()
        self.reorged: Callable[[int], None] = _ignored
        """Is told of each reorganisation how many followed blocks it took back."""

    @property
    def quarantined(self) -> Mapping[MarketKey, str]:
        """The markets that could not be read, and why."""
        return {each.market.key: each.fault for each in self._followed if each.fault}

    def parity_news(self) -> Sequence[ParityNews]:
        """Return who began to differ from the contracts, or agrees again, since asked last."""
        return self.parity.news()

    async def start(
        self, head: Head, progress: Callable[[Progress], None] = lambda _: None
    ) -> None:
        """
        Discover and load every market at ``head``; those that fail are quarantined.

        May be called again after a failure: what was loaded stays loaded.

        Raises:
            ConfigError: there is no such market at its configured address.
            SnapshotReorged: the block is no longer canonical.
            RpcUnavailable: the endpoint did not answer in time.
        """
        await self._track(head)
        await self._load_missing(head, progress)

    async def advance(self, head: Head) -> Sequence[MarketSnapshot]:
        """
        Return every readable market at ``head``, in the order of the settings.

        A failure leaves the book such that the next advance covers what this one missed.

        Raises:
            SnapshotReorged: the block is no longer canonical.
            RpcUnavailable: the endpoint did not answer in time.
        """
        await self._track(head)
        await self._load_missing(head, lambda _: None)
        return await self._read(head)

    async def _track(self, head: Head) -> None:
        """Note what the blocks up to ``head`` touched, and what orphaned blocks had touched."""
        if self._trail.tip is None:
            self._trail.rebased(None, [head], [])
            return
        branch = await branch_to(head, self._trail, self._reader)
        loaded = [each for each in self._followed if each.loaded_at is not None]
        wanted = merged(each.market.log_filter for each in loaded)
        logs = await logs_of(branch, wanted, self._reader) if loaded else []
        # From here to the end nothing waits: all of it happens, or none.
        taken_back = self._trail.after(branch.fork)
        orphaned = [log for block in taken_back for log in block.logs]
        _unload_orphans(loaded, branch)
        for each in loaded:
            mine = each.market.log_filter
            each.market.note([log for log in (*orphaned, *logs) if mine.accepts(log)])
        self._trail.rebased(branch.fork, branch.headers, logs)
        if taken_back:
            self.reorged(len(taken_back))

    async def _load_missing(self, head: Head, progress: Callable[[Progress], None]) -> None:
        for each in self._followed:
            if each.loaded_at is not None or not each.is_due(head):
                continue
            key = each.market.key
            try:
                await self._load(each, head, progress)
            except ITS_OWN_FAULT as error:
                each.failed(head, error)
                progress(Progress(market=key, stage="quarantined", detail=each.fault))
            else:
                each.recovered()
                progress(Progress(market=key, stage="ready", detail=str(len(each.borrowers))))

    async def _load(
        self, each: _Followed, head: Head, progress: Callable[[Progress], None]
    ) -> None:
        market = each.market
        progress(Progress(market=market.key, stage="discover"))
        await market.discover(head)
        await self._scan_history(each, head, progress)
        progress(Progress(market=market.key, stage="load", total=len(each.borrowers)))
        await market.load(head, sorted(each.borrowers))
        each.loaded_at = head.number

    async def _scan_history(
        self, each: _Followed, head: Head, progress: Callable[[Progress], None]
    ) -> None:
        """Collect who ever borrowed; goes on where an earlier attempt stopped."""
        market, first = each.market, each.market.from_block
        if each.scanned_to is not None:
            first = max(first, each.scanned_to - DEPTH)

        def took(logs: LogTable, covered_to: int) -> None:
            each.borrowers |= market.borrowers(logs)
            each.scanned_to = covered_to
            done, total = covered_to - market.from_block, head.number - market.from_block
            progress(Progress(market=market.key, stage="history", done=done, total=total))

        if first <= head.number:
            await self._reader.scan_logs(market.history_filter, first, head.number, took)

    async def _read(self, head: Head) -> list[MarketSnapshot]:
        asked = list[tuple[_Followed, Sequence[Call]]]()
        for each in self._followed:
            if each.loaded_at is None or not each.is_due(head):
                continue
            try:
                await each.market.refresh(head)
                asked.append((each, each.market.calls(head)))
            except ITS_OWN_FAULT as error:
                each.failed(head, error)
        calls = [call for _, its_calls in asked for call in its_calls]
        questions = self.parity.questions()
        audits = [call for question in questions for call in question.calls]
        basis = Basis(block_hash=head.hash)
        results = await self._reader.aggregate([*calls, *audits], basis)
        snapshots = _applied(head, asked, results[: len(calls)])
        for difference in self.parity.judge(questions, snapshots, results[len(calls) :]):
            self._resync(difference)
        return self.parity.guarded(snapshots)

    def _resync(self, difference: Difference) -> None:
        """Have an account that differs read anew with the next block."""
        for each in self._followed:
            mine = each.market.key == deployment(difference.market)
            if mine and isinstance(each.market, Resyncs):
                each.market.resync(difference.market, difference.account)


def merged(filters: Iterable[LogFilter]) -> LogFilter:
    """Return one filter that takes what any of these takes, by address and first topic."""
    every = list(filters)
    anywhere = any(not each.addresses for each in every)
    anything = any(not each.topics or not each.topics[0] for each in every)
    addresses = dict.fromkeys(address for each in every for address in each.addresses)
    topics = () if anything else dict.fromkeys(first for each in every for first in each.topics[0])
    return LogFilter(
        addresses=() if anywhere else tuple(addresses), topics=(tuple(topics),) if topics else ()
    )


def _applied(
    head: Head, asked: Sequence[tuple[_Followed, Sequence[Call]]], results: Sequence[CallResult]
) -> list[MarketSnapshot]:
    """Hand each market its own results."""
    snapshots, at = list[MarketSnapshot](), 0
    for each, calls in asked:
        mine = results[at : at + len(calls)]
        at += len(calls)
        try:
            snapshots.extend(each.market.apply(head, mine))
        except ITS_OWN_FAULT as error:
            each.failed(head, error)
        else:
            each.recovered()
    return snapshots


def _unload_orphans(loaded: Sequence[_Followed], branch: Branch) -> None:
    """Load anew what was loaded at a block that is gone: its logs before are not known."""
    for each in loaded:
        at = each.loaded_at
        if branch.fork is None or (at is not None and at > branch.fork.number):
            each.loaded_at = None


def _ignored(_: int) -> None:
    """Do nothing."""
