"""
Second looks: blocks whose logs may be missing are asked for again, beside the work on blocks.

One query for many blocks, every so many blocks; at once where a change is not explained by logs.
A block counts as covered when it was looked at once more some time later and is explained.
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
"""Blocks between two looks by range in which nothing is suspicious."""
YOUNG_BLOCKS: Final = 64
"""Blocks before the first head that are looked at once more, too: nodes had just got them."""
MOST_BLOCKS: Final = 2_000
"""Blocks of one look by range."""
BLOCKS_BY_HASH: Final = 8
RECEIPTS_OF: Final = 4
"""Blocks whose receipts are read in one look: it costs two requests for each."""
PAUSES: Final = (0.0, 0.1, 0.4)
"""Seconds before each round of a look for logs that have to be there."""
HINT_LOOKS: Final = 3
"""Searches that a hint is worth."""
LONGEST_PAUSE: Final = 64
"""The most blocks between two looks for a reason that led to nothing before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """
    What to look for: a range, and blocks that have to have more logs than ``known``.

    ``tip`` and ``number`` are of the head at which the look began. A search concerns ``spans``,
    and the blocks from ``remembered`` on: of others it is not known which logs were read.
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
        """Return the logs that were not known when the look began, in the chain's order."""
        new = [log for key, log in logs.items() if key not in self.known and self._concerns(log)]
        return sorted(new, key=lambda log: (log.block_number, log.index))

    def _concerns(self, log: Log) -> bool:
        number = log.block_number
        return number >= self.remembered or any(
            first <= number <= last for first, last in self.spans
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The outcome of a look: logs that are not known yet, and what was seen at all."""

    look: _Look
    sight: Sight

    @property
    def logs(self) -> list[Log]:
        """The logs that were not known when the look began, in the chain's order."""
        return self.look.find_new(self.sight.logs)


class Looks:
    """
    When to look again, and what is covered.

    Without a ``source`` nothing is looked at twice, and nothing is covered.
    """

    def __init__(self, source: SecondLook | None = None) -> None:
        self.explanations = Explanations()
        self.counts: Counter[str] = Counter()
        """Looks by their result: nothing, found, failed."""
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
        """Whether logs can be looked for again."""
        return self._source is not None

    def restore(self, kept: KeptCoverage | None, trail: Trail, *, is_visit: bool = False) -> None:
        """
        Go on from what an earlier process covered.

        One that knew nothing of coverage may have missed logs of any block that is remembered.
        A start looks at what that process read last at once, a command's visit when it is due.
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
        """Cover the blocks after a fork anew; all of them where the fork is not known."""
        if fork is None:
            self._confirmed_to, self._looked_to = None, -1
        elif self._confirmed_to is not None:
            self._confirmed_to = min(self._confirmed_to, fork)
            self._looked_to = min(self._looked_to, fork)

    def to_kept(self, *, is_settled: bool) -> KeptCoverage | None:
        """
        Return what to keep of it; None before anything is covered.

        ``is_settled`` is whether all noted logs are read. Until then a restart notes those again
        that were found late.
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
        """The block up to which nothing is missing, as far as can be known; None before a look."""
        if self._confirmed_to is None:
            return None
        first_open = self.explanations.first_open
        return self._confirmed_to if first_open is None else min(self._confirmed_to, first_open - 1)

    @property
    def is_confirming(self) -> bool:
        """Whether another endpoint can confirm what one has shown: a second look is worth it."""
        return self._source is not None and len(self._source.places()) > 1

    def hint(self) -> None:
        """Look sooner: something is not as it should be that a missing log would explain."""
        self._is_hinted = True

    def takes_hints(self, head: Head) -> bool:
        """Return whether a hint at a head is a reason to look: not where many led to nothing."""
        return self.is_possible and head.number >= self._next_hint

    def begin(self, head: Head, trail: Trail, wanted: LogFilter, *, by_range: bool = False) -> None:
        """
        Begin the look that is due after the work on a head, if one is; returns at once.

        ``by_range`` begins one by range, due or not.
        """
        if self._source is None or self._task is not None:
            return
        if self._confirmed_to is None:
            self._confirmed_to = max(0, head.number - YOUNG_BLOCKS)
        if self._looked_to < 0:
            self._looked_to, self._next_range = head.number, head.number + LOOK_EVERY
        look = self._by_range(head, trail, wanted) if by_range else self._due(head, trail, wanted)
        if look is not None and look.first <= look.last:
            self._task = self._source.begin(self._perform(look, self._source))

    def take(self) -> Found | None:
        """Return what a look that has ended found; None where none has."""
        task = self._task
        if task is None or not task.done():
            return None
        self._task = None
        return None if task.cancelled() else task.result()

    def merge(self, trail: Trail, keeping: Keeping, loaded: Sequence[LendingMarket]) -> None:
        """Have markets note the logs that a look found, and draw its conclusions."""
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
        """Wait until the look that was begun has ended."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """End the look that was begun."""
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
        """Draw the conclusions of a look, of whose logs ``fresh`` ones are of this chain."""
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
            self._rest_from_hints(look)
        if look.blocks:
            self._report(look, fresh)
        elif sight.is_whole and is_same_chain:
            self._confirmed_to, self._looked_to = self._looked_to, look.last

    def concern(self) -> str:
        """Return why the node is not ready, in one line; empty where every block is explained."""
        reported = [stretch for stretch in self._reported if stretch in self.explanations.open]
        if not reported:
            return ""
        first, rest = reported[0], len(reported) - 1
        more = f" (and {rest} more)" if rest else ""
        return f"{first.market}: {first.describe()}{more}: its logs are asked for again"

    def take_news(self) -> Sequence[StretchNews]:
        """Return the stretches that were found unexplained, or explained, since the last call."""
        self._tell_explained()
        news, self._news = self._news, []
        return news

    def _due(self, head: Head, trail: Trail, wanted: LogFilter) -> _Look | None:
        is_right_again = self.explanations.explained_at > self._searched_at
        if self.explanations.open and (is_right_again or head.number >= self._next_search):
            self._searched_at = head.number
            return self._search(self.explanations.open, trail, wanted)
        is_hinted, self._is_hinted = self._is_hinted and head.number >= self._next_hint, False
        if not is_hinted and head.number < self._next_range:
            return None
        return self._by_range(head, trail, wanted, is_hinted=is_hinted)

    def _by_range(
        self, head: Head, trail: Trail, wanted: LogFilter, *, is_hinted: bool = False
    ) -> _Look:
        """Return a look at all blocks that are not confirmed yet, in one query."""
        self._next_range = head.number + LOOK_EVERY
        first = (self._confirmed_to or 0) + 1
        last = min(head.number, first + MOST_BLOCKS - 1)
        known = trail.known(wanted, first, last)
        return _Look(
            wanted=wanted,
            first=first,
            last=last,
            tip=head.hash,
            number=head.number,
            known=known,
            is_hinted=is_hinted,
        )

    def _search(self, stretches: Sequence[Unexplained], trail: Trail, wanted: LogFilter) -> _Look:
        """Return a look for the logs of the newest stretches, and of as many as fit one range."""
        first, last = self._search_range(stretches)
        blocks = dict[int, Block]()
        for stretch in stretches:
            inside = [one for one in trail.blocks if stretch.first <= one.number <= stretch.last]
            blocks[stretch.last] = (stretch.last, stretch.last_hash)
            blocks.update({one.number: (one.number, one.hash) for one in inside})
        known = frozenset(log_key(one) for stretch in stretches for one in stretch.logs)
        return _Look(
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

    def _search_range(self, stretches: Sequence[Unexplained]) -> tuple[int, int]:
        """Return the newest blocks of the stretches, and after fruitless searches older ones."""
        first = min(stretch.first for stretch in stretches)
        last = max(stretch.last for stretch in stretches)
        ranges = (last - first) // MOST_BLOCKS + 1
        last -= self._fruitless % ranges * MOST_BLOCKS
        return max(first, last - MOST_BLOCKS + 1), last

    async def _perform(self, look: _Look, source: SecondLook) -> Found:
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

    def _report(self, look: _Look, fresh: Sequence[Log]) -> None:
        """Report what a search left unexplained, and search again later and later."""
        for stretch in list(self.explanations.open):
            stretch.looks += 1
            if stretch.is_hint:
                if stretch.looks >= HINT_LOOKS:
                    self.explanations.drop(stretch)
                    self._rest_from_hints(look)
            elif stretch not in self._reported and stretch.last <= look.number:
                self._reported.append(stretch)
                self._tell(stretch)
        self._fruitless = 0 if fresh else self._fruitless + 1
        pause = 2 ** min(self._fruitless, LOOK_EVERY) // 2
        self._next_search = look.number + min(pause, LOOK_EVERY)

    def _rest_from_hints(self, look: _Look) -> None:
        """Take hints again after a pause that doubles each time."""
        self._hint_pause = min(2 * self._hint_pause, LONGEST_PAUSE)
        self._next_hint = look.number + self._hint_pause

    def _tell(self, stretch: Unexplained) -> None:
        words = stretch.describe()
        self._news.append(StretchNews(market=stretch.market, first=stretch.first, detail=words))
        log.warning('block_unexplained market=%s reason="%s"', stretch.market, words)

    def _tell_explained(self) -> None:
        """Report the stretches that are explained by now."""
        over = [stretch for stretch in self._reported if stretch not in self.explanations.open]
        for stretch in over:
            self._reported.remove(stretch)
            self._news.append(
                StretchNews(
                    market=stretch.market, first=stretch.first, detail="", is_explained=True
                )
            )
            log.info("block_explained market=%s first=%d", stretch.market, stretch.first)
