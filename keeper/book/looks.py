"""Second checks of blocks for missing logs, beside the work on new blocks.

One query checks many blocks at regular intervals, and at once after an unexplained change. A block
counts as covered once it was checked again some time later and is explained.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.book.explaining import Explanations, KeptCoverage, Unexplained
from keeper.book.keeping import Keeping
from keeper.book.trail import Trail
from keeper.chain.second_look import Block, SecondLook, Sight
from keeper.coverage import StatesFigures
from keeper.domain.figures import StretchNews
from keeper.domain.head import Head
from keeper.domain.reads import Log, LogFilter, LogKey, log_key
from keeper.domain.units import BlockHash, MarketKey
from keeper.ports import LendingMarket

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 25
"""Blocks between two regular checks by range."""
YOUNG_BLOCKS: Final = 64
"""Blocks before the first head that are checked again, since nodes had just received them."""
MOST_BLOCKS: Final = 2_000
"""Maximum of blocks of one check by range."""
BLOCKS_BY_HASH: Final = 8
RECEIPTS_OF: Final = 4
"""Blocks with receipts read in one check, at two requests each."""
PAUSES: Final = (0.0, 0.1, 0.4)
"""Seconds before each round of a search for missing logs."""
HINT_LOOKS: Final = 3
"""Maximum of searches caused by a hint."""
LONGEST_PAUSE: Final = 64
"""Maximum of blocks between two checks after fruitless ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recheck:
    """One check of a range, and of blocks that must have more logs than ``known``.

    ``tip`` and ``number`` are the head at its start. A search concerns ``spans``, and the blocks
    from ``remembered`` on. For others the logs already read are unknown.
    """

    wanted: LogFilter
    first: int
    last: int
    tip: BlockHash
    number: int
    known: frozenset[LogKey]
    blocks: Sequence[Block] = ()
    spans: Sequence[tuple[int, int]] = ()
    remembered: int = 0
    is_hinted: bool = False

    def find_new(self, logs: Mapping[LogKey, Log]) -> list[Log]:
        """Return the logs that were unknown when the check began, in the chain's order."""
        new = [
            log for key, log in logs.items() if key not in self.known and self._is_concerned(log)
        ]
        return sorted(new, key=lambda log: (log.block_number, log.index))

    def _is_concerned(self, log: Log) -> bool:
        number = log.block_number
        return number >= self.remembered or any(
            first <= number <= last for first, last in self.spans
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Result of a check, with all logs seen."""

    look: _Recheck
    sight: Sight

    @property
    def logs(self) -> list[Log]:
        """The logs that were unknown when the check began, in the chain's order."""
        return self.look.find_new(self.sight.logs)


class Looks:
    """Schedule of the checks, and the coverage that they establish.

    Without a ``source`` no block is checked again, and none is covered.
    """

    def __init__(self, source: SecondLook | None = None) -> None:
        self.explanations = Explanations()
        self.counts: Counter[str] = Counter()
        """Checks by result (nothing, found, failed)."""
        self._source = source
        self._confirmed_to: int | None = None
        self._learnt_from: int | None = None
        self._looked_to = -1
        self._next_range = 0
        self._next_search = 0
        self._searched_at = -1
        self._fruitless = 0
        self._is_hinted = False
        self._hint_pause = 1
        self._next_hint = 0
        self._task: asyncio.Task[Found] | None = None
        self._reported: list[Unexplained] = []
        self._news: list[StretchNews] = []

    @property
    def is_possible(self) -> bool:
        """Whether a source for second checks exists."""
        return self._source is not None

    def restore(self, kept: KeptCoverage | None, trail: Trail, *, is_visit: bool = False) -> None:
        """Restore an earlier process's coverage.

        Without a stored coverage logs may be missing in any block of the window. A start checks
        that process's last blocks at once, a command's visit when they are due.
        """
        if trail.tip is None:
            return
        newest = trail.blocks[-1].number
        covered_to = trail.oldest if kept is None else kept.covered_to
        self._confirmed_to = min(covered_to, newest)
        looked_to = covered_to if kept is None or kept.looked_to is None else kept.looked_to
        self._looked_to = min(max(covered_to, looked_to), newest)
        if is_visit or self._looked_to == newest:
            self._next_range = self._looked_to + LOOK_EVERY
        self._learnt_from = None if kept is None else kept.learnt_from
        self.explanations.open = [] if kept is None else list(kept.stretches)

    def rewind(self, fork: int | None) -> None:
        """Reduce the coverage to a fork, to nothing where the fork is unknown."""
        if fork is None:
            self._confirmed_to, self._looked_to = None, -1
        elif self._confirmed_to is not None:
            self._confirmed_to = min(self._confirmed_to, fork)
            self._looked_to = min(self._looked_to, fork)

    def to_kept(self, *, is_settled: bool) -> KeptCoverage | None:
        """Return the coverage to store, None before any.

        ``is_settled`` is true once all noted logs are read. Until then a restart notes again the
        logs that were found late.
        """
        if is_settled:
            self._learnt_from = None
        if self.covered_to is None:
            return None
        return KeptCoverage(
            covered_to=self.covered_to,
            looked_to=self._looked_to,
            learnt_from=self._learnt_from,
            stretches=tuple(replace(stretch) for stretch in self.explanations.open),
        )

    @property
    def covered_to(self) -> int | None:
        """The block up to which no log is known to be missing, None before a check."""
        if self._confirmed_to is None:
            return None
        first_open = self.explanations.first_open
        return self._confirmed_to if first_open is None else min(self._confirmed_to, first_open - 1)

    @property
    def is_confirming(self) -> bool:
        """Whether another endpoint exists, so that a second check confirms the first."""
        return self._source is not None and len(self._source.places()) > 1

    def hint(self) -> None:
        """Check earlier, because of an anomaly that a missing log would explain."""
        self._is_hinted = True

    def takes_hints(self, head: Head) -> bool:
        """Whether a hint at a head causes a check, which it does not after fruitless ones."""
        return self.is_possible and head.number >= self._next_hint

    def begin(self, head: Head, trail: Trail, wanted: LogFilter, *, by_range: bool = False) -> None:
        """Start the check that is due after a head, if any, without waiting.

        ``by_range`` starts one by range in any case.
        """
        if self._source is None or self._task is not None:
            return
        if self._confirmed_to is None:
            self._confirmed_to = max(0, head.number - YOUNG_BLOCKS)
        if self._looked_to < 0:
            self._looked_to, self._next_range = head.number, head.number + LOOK_EVERY
        look = (
            self._build_range_check(head, trail, wanted)
            if by_range
            else self._choose_check(head, trail, wanted)
        )
        if look is not None and look.first <= look.last:
            self._task = self._source.begin(self._perform(look, self._source))

    def take(self) -> Found | None:
        """Return the result of a finished check, None without one."""
        task = self._task
        if task is None or not task.done():
            return None
        self._task = None
        return None if task.cancelled() else task.result()

    def merge(self, trail: Trail, keeping: Keeping, loaded: Sequence[LendingMarket]) -> None:
        """Note the logs found by a check in the markets, and apply its result."""
        found = self.take()
        if found is None:
            return
        fresh = [each for each in found.logs if trail.holds(each)]
        trail.learnt(fresh)
        keeping.rewrite({each.block_hash for each in fresh})
        for market in loaded:
            market.note([log for log in fresh if market.log_filter.accepts(log)])
        figured = {market.key: market for market in loaded if isinstance(market, StatesFigures)}
        self.settle(found, fresh, figured, trail)

    async def finish(self) -> None:
        """Wait for the running check."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Cancel the running check."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def settle(
        self,
        found: Found,
        fresh: Sequence[Log],
        markets: Mapping[MarketKey, StatesFigures],
        trail: Trail,
    ) -> None:
        """Apply a check's result. ``fresh`` are its new logs on this chain."""
        for block in {log.block_number for log in fresh}:
            self._learnt_from = min(self._learnt_from or block, block)
        look, sight = found.look, found.sight
        result = "found" if fresh else "nothing" if sight.is_answered else "failed"
        self.counts[result] += 1
        explained = self.explanations.add_logs(fresh, markets)
        if any(stretch.is_hint for stretch in explained):
            self._hint_pause = 1
        is_same_chain = trail.find(look.tip) is not None
        if sight.is_answered and is_same_chain:
            self.explanations.close_read(look.first, look.last)
        for stretch in self.explanations.close_proven(sight.proven):
            log.warning(
                'figures_without_logs market=%s reason="%s, and the receipts prove that there'
                ' is none: these figures are not held against logs any more"',
                stretch.market,
                stretch.describe(),
            )
        if look.is_hinted and not fresh:
            self._pause_hints(look)
        if look.blocks:
            self._report(look, fresh)
        elif sight.is_whole and is_same_chain:
            self._confirmed_to, self._looked_to = self._looked_to, look.last

    def concern(self) -> str:
        """Return the reason why the node is not ready in one line, empty without one."""
        reported = [stretch for stretch in self._reported if stretch in self.explanations.open]
        if not reported:
            return ""
        first, rest = reported[0], len(reported) - 1
        more = f" (and {rest} more)" if rest else ""
        return f"{first.market}: {first.describe()}{more}: its logs are asked for again"

    def take_news(self) -> Sequence[StretchNews]:
        """Return the unexplained and the newly explained stretches since the last call."""
        self._report_explained()
        news, self._news = self._news, []
        return news

    def _choose_check(self, head: Head, trail: Trail, wanted: LogFilter) -> _Recheck | None:
        is_right_again = self.explanations.explained_at > self._searched_at
        if self.explanations.open and (is_right_again or head.number >= self._next_search):
            self._searched_at = head.number
            return self._build_search(self.explanations.open, trail, wanted)
        is_hinted, self._is_hinted = self._is_hinted and head.number >= self._next_hint, False
        if not is_hinted and head.number < self._next_range:
            return None
        return self._build_range_check(head, trail, wanted, is_hinted=is_hinted)

    def _build_range_check(
        self, head: Head, trail: Trail, wanted: LogFilter, *, is_hinted: bool = False
    ) -> _Recheck:
        """Build a check of all unconfirmed blocks in one query."""
        self._next_range = head.number + LOOK_EVERY
        first = (self._confirmed_to or 0) + 1
        last = min(head.number, first + MOST_BLOCKS - 1)
        known = trail.known(wanted, first, last)
        return _Recheck(
            wanted=wanted,
            first=first,
            last=last,
            tip=head.hash,
            number=head.number,
            known=known,
            is_hinted=is_hinted,
        )

    def _build_search(
        self, stretches: Sequence[Unexplained], trail: Trail, wanted: LogFilter
    ) -> _Recheck:
        """Build a search for the logs of the newest stretches that fit one range."""
        first, last = self._compute_search_range(stretches)
        blocks = dict[int, Block]()
        for stretch in stretches:
            inside = [one for one in trail.blocks if stretch.first <= one.number <= stretch.last]
            blocks[stretch.last] = (stretch.last, stretch.last_hash)
            blocks.update({one.number: (one.number, one.hash) for one in inside})
        known = frozenset(log_key(one) for stretch in stretches for one in stretch.logs)
        return _Recheck(
            wanted=wanted,
            first=first,
            last=last,
            tip=trail.blocks[-1].hash,
            number=trail.blocks[-1].number,
            spans=[(stretch.first, stretch.last) for stretch in stretches],
            remembered=trail.oldest,
            known=known | trail.known(wanted, first, last),
            blocks=[blocks[number] for number in sorted(blocks)[-BLOCKS_BY_HASH:]],
        )

    def _compute_search_range(self, stretches: Sequence[Unexplained]) -> tuple[int, int]:
        """Return the newest blocks of the stretches, and older ones after fruitless searches."""
        first = min(stretch.first for stretch in stretches)
        last = max(stretch.last for stretch in stretches)
        ranges = (last - first) // MOST_BLOCKS + 1
        last -= self._fruitless % ranges * MOST_BLOCKS
        return max(first, last - MOST_BLOCKS + 1), last

    async def _perform(self, look: _Recheck, source: SecondLook) -> Found:
        if not look.blocks:
            sight = await source.look_by_range(look.wanted, look.first, look.last, look.known)
            return Found(look=look, sight=sight)
        sight = Sight()
        for pause in PAUSES:
            await asyncio.sleep(pause)
            part = await source.look_everywhere(look.wanted, look.blocks, look.first, look.last)
            sight.add(part.logs.values())
            sight.is_answered = sight.is_answered or part.is_answered
            if look.find_new(sight.logs):
                return Found(look=look, sight=sight)
        receipts = await source.look_at_receipts(look.wanted, look.blocks[-RECEIPTS_OF:])
        sight.add(receipts.logs.values())
        sight.proven = receipts.proven
        return Found(look=look, sight=sight)

    def _report(self, look: _Recheck, fresh: Sequence[Log]) -> None:
        """Report the unexplained stretches, and repeat the search at growing intervals."""
        for stretch in list(self.explanations.open):
            stretch.looks += 1
            if stretch.is_hint:
                if stretch.looks >= HINT_LOOKS:
                    self.explanations.drop(stretch)
                    self._pause_hints(look)
            elif stretch not in self._reported and stretch.last <= look.number:
                self._reported.append(stretch)
                self._report_stretch(stretch)
        self._fruitless = 0 if fresh else self._fruitless + 1
        pause = 2 ** min(self._fruitless, LOOK_EVERY) // 2
        self._next_search = look.number + min(pause, LOOK_EVERY)

    def _pause_hints(self, look: _Recheck) -> None:
        """Ignore hints for a pause that doubles each time."""
        self._hint_pause = min(2 * self._hint_pause, LONGEST_PAUSE)
        self._next_hint = look.number + self._hint_pause

    def _report_stretch(self, stretch: Unexplained) -> None:
        words = stretch.describe()
        self._news.append(StretchNews(market=stretch.market, first=stretch.first, detail=words))
        log.warning('block_unexplained market=%s reason="%s"', stretch.market, words)

    def _report_explained(self) -> None:
        """Report the stretches that are now explained."""
        over = [stretch for stretch in self._reported if stretch not in self.explanations.open]
        for stretch in over:
            self._reported.remove(stretch)
            self._news.append(
                StretchNews(
                    market=stretch.market, first=stretch.first, detail="", is_explained=True
                )
            )
            log.info("block_explained market=%s first=%d", stretch.market, stretch.first)
