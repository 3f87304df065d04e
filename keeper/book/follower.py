"""Follower of all markets' logs, block by block, through gaps and reorgs.

Each block takes one log query for all markets, and one aggregate for all of their reads. Logs are
noted before any read, and remain noted until a read succeeds, so that the next advance covers a
failed one.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from keeper.abilities import KeepsColumns, Rider
from keeper.book.branch import BY_HASH, Branch, ancestry, branch_to, logs_of
from keeper.book.checking import Checking
from keeper.book.coverage import DebtCoverage
from keeper.book.filters import merged
from keeper.book.followed import Followed, Progress
from keeper.book.history import learn_logs, scan_history
from keeper.book.keeping import Keeping
from keeper.book.looks import Looks
from keeper.book.parity import Parity
from keeper.book.read_ahead import Pace, ReadAhead
from keeper.book.rereading import Rereading
from keeper.book.resuming import Resuming
from keeper.book.trail import Trail
from keeper.chain.second_look import second_look_over
from keeper.domain.coverage import CoverageNews
from keeper.domain.errors import (
    BlockUnknown,
    HistoryPruned,
    MarketUnreadable,
    RpcMalformed,
    RpcRefused,
)
from keeper.domain.figures import StretchNews
from keeper.domain.head import Head
from keeper.domain.parity import ParityNews
from keeper.domain.reads import Call, CallResult, Log, LogFilter
from keeper.domain.units import BlockHash, MarketKey
from keeper.ports import ChainReader, LendingMarket, MarketSnapshot

__all__ = ["Follower", "Progress", "merged"]

log = logging.getLogger(__name__)

ITS_OWN_FAULT: Final = (MarketUnreadable, HistoryPruned, RpcRefused, RpcMalformed)
"""Errors that quarantine one market. Other errors concern the node and all markets."""


class Follower:
    """``MarketBook`` over a chain, with all the markets, advanced head by head."""

    def __init__(self, reader: ChainReader, markets: Sequence[LendingMarket]) -> None:
        self._reader = reader
        self.followed = [Followed(market) for market in markets]
        self._trail = Trail()
        self._own_from = 0
        self._is_unread = True
        self._rebuilds: list[tuple[MarketKey, str]] = []
        self.pace = Pace()
        self.parity = Parity()
        self.coverage = DebtCoverage()
        source = second_look_over(reader)
        self.looks, self.rereading = Looks(source), Rereading(source, self.coverage)
        self.checking = Checking(
            followed=self.followed,
            trail=self._trail,
            parity=self.parity,
            coverage=self.coverage,
            looks=self.looks,
        )
        self.keeping = Keeping(None, 0)
        """Writer of the stored book, without a file until it is replaced."""
        self.reorged: Callable[[int], None] = _ignore_depth
        """Called for each reorg with the number of orphaned followed blocks."""
        self.fork: int | None = None
        """The newest block that the last head shares with the blocks followed before it,
        None where the head follows directly."""
        self.restores_structure = False
        """Whether a stored structure is restored, as by a command. A keeper discovers it again."""
        self.riders: list[Rider] = []
        """Parts with reads in each block's aggregate, after the markets' own."""

    @property
    def quarantined(self) -> Mapping[MarketKey, str]:
        """The quarantined markets, with the reason."""
        return {each.market.key: each.fault for each in self.followed if each.fault}

    @property
    def unanswered(self) -> Mapping[MarketKey, str]:
        """The markets quarantined because of the node's answers, with the reason."""
        return {
            each.market.key: each.fault
            for each in self.followed
            if each.fault and each.is_nodes_fault
        }

    def parity_news(self) -> Sequence[ParityNews]:
        """Return the changes of the reconciliation since the last call."""
        return self.parity.news()

    def coverage_news(self) -> Sequence[CoverageNews]:
        """Return the changes of coverage since the last call."""
        return self.coverage.take_news()

    def stretch_news(self) -> Sequence[StretchNews]:
        """Return the unexplained and the newly explained blocks since the last call."""
        return self.looks.take_news()

    def remembered(
        self, market: MarketKey, wanted: LogFilter, first: int, tip: BlockHash
    ) -> Sequence[Log] | None:
        """Return a deployment's filtered logs from block ``first`` to ``tip``, both included.

        None where they are unknown, that is before this process, before the market was loaded, and
        for blocks not followed individually.
        """
        each = next((one for one in self.followed if one.market.key == market), None)
        blocks = self._trail.since(first)
        if each is None or each.loaded_at is None or not blocks or blocks[-1].hash != tip:
            return None
        known_from = max(each.loaded_at + 1, self._own_from)
        if first < known_from or not each.market.log_filter.covers(wanted):
            return None
        return [log for block in blocks for log in block.logs if wanted.accepts(log)]

    def rebuild_news(self) -> Sequence[tuple[MarketKey, str]]:
        """Return the markets read again since the last call, with the reason."""
        told, self._rebuilds = self._rebuilds, []
        return told

    async def start(
        self, head: Head, progress: Callable[[Progress], None] = lambda _: None
    ) -> None:
        """Discover and load every market at ``head``. Failing markets are quarantined.

        A stored state is restored instead and followed to the head. May be repeated after a
        failure, with loaded markets staying loaded.

        Raises:
            ConfigError: there is no such market at its configured address.
            SnapshotReorged: the block is no longer canonical.
            RpcUnavailable: the endpoint did not answer in time.
        """
        is_resumed = self._trail.tip is None and await self._resume(head)
        await self.track(head)
        if is_resumed:
            await self._check_restored(head)
        await self._load_missing(head, progress)
        self.keep()

    async def advance(self, head: Head) -> Sequence[MarketSnapshot]:
        """Return every readable market at ``head``, in the order of the settings.

        After a failure the next advance covers this block.

        Raises:
            SnapshotReorged: the block is no longer canonical.
            RpcUnavailable: the endpoint did not answer in time.
        """
        self.settle()
        self._merge_looks()
        self.rereading.merge(head)
        ahead = self._start_reads(head)
        try:
            began = time.monotonic()
            await self.track(head)
            self.pace.note(time.monotonic() - began)
            await self._load_missing(head, lambda _: None)
            snapshots = await self._read(head, ahead)
        finally:
            ahead.cancel()
        self.checking.add(partial(self._begin_looks, head))
        return snapshots

    def settle(self) -> None:
        """Run the newest block's deferred checks."""
        self.checking.settle()

    def _begin_looks(self, head: Head) -> None:
        """Start the background reads that are due after a block."""
        self.looks.begin(head, self._trail, self._build_log_filter())
        self.rereading.begin(head, [each.market for each in self._list_loaded()])

    def concern(self) -> str:
        """Return the book's possible omissions in one line, empty without any."""
        return "; ".join(filter(None, (self.coverage.concern(), self.looks.concern())))

    def keep(self) -> None:
        """Start writing the state after the newest block, without waiting.

        Nothing is written before the first block is read while a restored market has unread logs,
        since its stored state is of an earlier block, which must remain in the window.
        """
        self.settle()
        self.parity.prepare()
        if self._is_unread and any(each.has_unread_logs() for each in self.followed):
            return
        standings = (each.standing() for each in self.followed)
        kept = [one for one in standings if one is not None]
        coverage = self.looks.to_kept(is_settled=len(kept) == len(self.followed))
        self.keeping.keep(self._trail, kept, coverage)

    async def close(self) -> None:
        """Write the newest state, if it is not written yet, and close the file."""
        self.settle()
        await self.looks.close()
        await self.rereading.close()
        await self.keeping.written()
        self.keep()
        await self.keeping.close()

    async def _resume(self, head: Head) -> bool:
        """Restore an earlier process's state of this chain. Return whether there was any."""
        kept = await self.keeping.open()
        self._trail.restored(kept.common_blocks({each.market.key for each in self.followed}))
        self.looks.restore(kept.coverage, self._trail, is_visit=self.restores_structure)
        # Another version may have followed other logs.
        self._own_from = 0 if self._trail.tip is None else self._trail.tip.number + 1
        resuming = Resuming(kept, self._trail, head, restores_structure=self.restores_structure)
        resuming.spare_others(self.followed, self.keeping)
        for each in self.followed:
            try:
                refusal = await resuming.take_up(each, self.keeping)
            except ITS_OWN_FAULT as error:
                each.failed(head, error)
                continue
            if refusal:
                self._record_rebuild(each, refusal)
        return self._trail.tip is not None

    async def _check_restored(self, head: Head) -> None:
        """Check the blocks again that an earlier process may have read without their logs."""
        for by_range in (False, True) if self.looks.is_confirming else (False,):
            self.looks.begin(head, self._trail, self._build_log_filter(), by_range=by_range)
            await self.looks.finish()
            self._merge_looks()

    def _record_rebuild(self, each: Followed, reason: str) -> None:
        """Record that a market has to be read again."""
        self._rebuilds.append((each.market.key, reason))
        log.warning("book_rebuilt market=%s reason=%s", each.market.key, reason)

    async def track(self, head: Head) -> None:
        """Note the logs of the blocks up to ``head``, and those of orphaned blocks."""
        self.fork = None
        if self._trail.tip is None:
            self._trail.rebased(None, await ancestry(head, self._reader), [])
            return
        branch = await branch_to(head, self._trail, self._reader)
        loaded = self._list_loaded()
        logs, is_read = await self._fetch_logs(branch) if loaded else ([], True)
        # No await from here to the end, so that the update is atomic.
        taken_back = self._trail.after(branch.fork)
        orphaned = [log for block in taken_back for log in block.logs]
        self._discard_orphans(branch)
        for each in loaded:
            mine = each.market.log_filter
            each.market.note([log for log in (*orphaned, *logs) if mine.accepts(log)])
        self._trail.rebased(branch.fork, branch.headers, logs)
        self.looks.explanations.drop_orphans(self._trail)
        if not is_read:
            for each in loaded:
                self.looks.explanations.note_unread(each.market.key, branch.gap_from, head)
        if taken_back:
            self.fork = None if branch.fork is None else branch.fork.number
            self.looks.rewind(self.fork)
            self.reorged(len(taken_back))

    async def _fetch_logs(self, branch: Branch) -> tuple[list[Log], bool]:
        """Fetch the logs of a branch. Return them, and whether they could be read."""
        try:
            return await logs_of(branch, self._build_log_filter(), self._reader), True
        except (RpcRefused, RpcMalformed, BlockUnknown) as error:
            if not self.looks.is_possible or len(branch.headers) > BY_HASH:
                raise
            log.warning("logs_unread block=%d reason=%s", branch.headers[-1].number, error)
            return [], False

    def _list_loaded(self) -> list[Followed]:
        return [each for each in self.followed if each.loaded_at is not None]

    def _build_log_filter(self) -> LogFilter:
        return merged(each.market.log_filter for each in self._list_loaded())

    def _merge_looks(self) -> None:
        """Note the logs found by a second check, and apply its result."""
        self.looks.merge(self._trail, self.keeping, [each.market for each in self._list_loaded()])

    def _discard_orphans(self, branch: Branch) -> None:
        """Unload the markets with a state from orphaned blocks, so that they are loaded again."""
        reason = "the chain was reorganised below what is remembered"
        if branch.fork is None and branch.headers[-1].number < self._trail.oldest:
            reason = f"block {branch.headers[-1].number} is before the oldest that is remembered"
        if branch.fork is None:
            self.keeping.spare(reason)
        for each in self.followed:
            at = each.loaded_at
            if branch.fork is None:
                each.scanned_to = None  # the depth of the reorg is unknown
            if at is not None and (branch.fork is None or at > branch.fork.number):
                each.forget()
                self.coverage.forget(each.market.key)
                self.looks.explanations.forget(each.market.key)
                self._record_rebuild(each, reason)

    async def _load_missing(self, head: Head, progress: Callable[[Progress], None]) -> None:
        for each in self.followed:
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
                progress(Progress(market=key, stage="ready", detail=str(each.accounts)))

    async def _load(self, each: Followed, head: Head, progress: Callable[[Progress], None]) -> None:
        market = each.market
        progress(Progress(market=market.key, stage="discover"))
        await each.discover(head)
        await scan_history(each, head, self._reader, self.keeping, progress)
        borrowers = each.everybody()
        progress(Progress(market=market.key, stage="load", total=len(borrowers)))
        await market.load(head, borrowers)
        await learn_logs(each, head, self._reader, self._trail, self.keeping)
        each.loaded(self._trail.oldest, len(borrowers))
        self.keeping.loaded(market.key)

    def _start_reads(self, head: Head) -> ReadAhead:
        """Start the reads that do not depend on the block's logs, where that saves time."""
        markets = [each.market for each in self._list_loaded() if each.is_due(head)]
        is_early = self.pace.is_slow
        return ReadAhead(self._reader, head, markets, self.riders, self.parity, is_early=is_early)

    async def _read(self, head: Head, ahead: ReadAhead) -> list[MarketSnapshot]:
        asked = list[tuple[Followed, Sequence[Call]]]()
        for each in self.followed:
            if each.loaded_at is None or not each.is_due(head):
                continue
            try:
                before = each.market.log_filter
                await each.market.refresh(head)
                if each.market.log_filter != before:  # its new contracts went unheard in a gap
                    await learn_logs(each, head, self._reader, self._trail, self.keeping)
                asked.append((each, each.market.calls(head)))
            except ITS_OWN_FAULT as error:
                each.failed(head, error)
        results, rest = await ahead.fetch([call for _, calls in asked for call in calls])
        snapshots = self._apply_results(head, asked, results)
        answers = ahead.hand_over(head, rest)
        self.checking.compare(ahead.questions, snapshots, answers)
        self._is_unread = False
        return self.parity.guarded(snapshots)

    def _apply_results(
        self,
        head: Head,
        asked: Sequence[tuple[Followed, Sequence[Call]]],
        results: Sequence[CallResult],
    ) -> list[MarketSnapshot]:
        """Apply each market's own results."""
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
                self.checking.add(partial(self.checking.judge_totals, each.market, head))
                if self.keeping.enabled and isinstance(each.market, KeepsColumns):
                    self.keeping.changed(each.market.key, each.market.changed())
        return snapshots


def _ignore_depth(_: int) -> None:
    """Do nothing."""
