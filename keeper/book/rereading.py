"""Repeated reading of histories with debt of unknown borrowers.

It runs in the background, so that the known accounts are acted upon as before. A few requests
follow a block, at another endpoint each time, in smaller windows once every endpoint has been used.
Blocks before ``from_block`` are read too, since it may be too late.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.book.coverage import DebtCoverage
from keeper.chain.backward_reading import BackwardReader, Portion, Span
from keeper.chain.second_look import SecondLook
from keeper.chain.windows import Windows
from keeper.coverage import RereadsHistory
from keeper.domain.head import Head
from keeper.domain.units import MarketKey
from keeper.ports import LendingMarket

log = logging.getLogger(__name__)

REQUESTS: Final = 32
"""Maximum of requests after one block."""
ROWS: Final = 2_000
"""Logs after which a portion ends."""
PAUSE: Final = 4
"""Blocks between two portions, in which the totals are compared again."""
LONGEST_PAUSE: Final = 512
"""Maximum of blocks between two fruitless readings."""
NEAR_BLOCKS: Final = 10_000
"""Blocks before ``from_block`` that are read first, since it is rarely wrong by more."""
FIRST_WINDOW: Final = 10_000
LEAST_WINDOW: Final = 128
LONGEST_WINDOW: Final = 500_000


@dataclass(slots=True)
class _HistoryReading:
    """One market's readings. ``turn`` counts them, ``spans`` are the newest's remaining blocks."""

    turn: int = 0
    spans: Sequence[Span] = ()
    reader: BackwardReader | None = None
    found: int = 0
    fruitless: int = 0
    next_at: int = 0


@dataclass(frozen=True, slots=True)
class _Outcome:
    market: LendingMarket
    portion: Portion


@dataclass(slots=True)
class Rereading:
    """The readings of all markets, one at a time. None without a ``source``."""

    source: SecondLook | None
    coverage: DebtCoverage
    found: int = 0
    _readings: dict[MarketKey, _HistoryReading] = field(default_factory=dict)
    _task: asyncio.Task[_Outcome] | None = None

    def begin(self, head: Head, markets: Sequence[LendingMarket]) -> None:
        """Start the portion that is due after a head, if any, without waiting."""
        for key in [key for key in self._readings if not self.coverage.is_reported(key)]:
            self._remove_reading(key)
        if self.source is None or self._task is not None:
            return
        for market in markets:
            reading = self._find_due(head, market)
            if reading is not None:
                reading.next_at = head.number + PAUSE
                self._task = self.source.begin(self._read(market, head, reading, self.source))
                return

    def merge(self, head: Head) -> None:
        """Note the accounts found by a finished portion."""
        task = self._task
        if task is None or not task.done():
            return
        self._task = None
        if not task.cancelled():
            self._settle(task.result(), head)

    async def finish(self) -> None:
        """Wait for the running portion."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Cancel the running portion."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def _find_due(self, head: Head, market: LendingMarket) -> _HistoryReading | None:
        if not isinstance(market, RereadsHistory) or not self.coverage.is_reported(market.key):
            return None
        reading = self._readings.setdefault(market.key, _HistoryReading())
        return reading if head.number >= reading.next_at else None

    async def _read(
        self, market: LendingMarket, head: Head, reading: _HistoryReading, source: SecondLook
    ) -> _Outcome:
        if not reading.spans:
            self._start_anew(market, head, reading, source)
        if reading.reader is None:
            return _Outcome(market, Portion(is_refused=True))
        portion = await reading.reader.read(market.history_filter, reading.spans)
        return _Outcome(market, portion)

    def _start_anew(
        self, market: LendingMarket, head: Head, reading: _HistoryReading, source: SecondLook
    ) -> None:
        """Choose the next endpoint, and shorter windows once each of them was used."""
        places = source.places()
        if not places:
            reading.reader = None
            return
        reading.turn += 1
        shorter = 3 * ((reading.turn - 1) // len(places))
        first = max(LEAST_WINDOW, FIRST_WINDOW >> shorter)
        windows = Windows(first=first, most=first if shorter else LONGEST_WINDOW)
        reading.reader = source.backward_reader(
            places[reading.turn % len(places)], windows, REQUESTS, ROWS
        )
        reading.spans, reading.found = _build_spans(market.from_block, head.number), 0
        log.info(
            "history_reread market=%s block=%d turn=%d reason=debt is owed by no account of the"
            " book",
            market.key,
            head.number,
            reading.turn,
        )

    def _settle(self, outcome: _Outcome, head: Head) -> None:
        market, portion = outcome.market, outcome.portion
        reading = self._readings.get(market.key)
        if reading is None or not isinstance(market, RereadsHistory):
            return
        # A known account may be wrong too, so after a fruitless reading all are read again.
        found = sum(
            market.note_history(table, known_too=reading.fruitless > 0) for table in portion.tables
        )
        self.found += found
        reading.found += found
        reading.spans = () if portion.is_refused else portion.rest
        if found:
            log.warning(
                "history_completed market=%s block=%d found=%d", market.key, head.number, found
            )
        if reading.spans:
            return
        reading.fruitless = 0 if reading.found else reading.fruitless + 1
        pause = PAUSE << min(reading.fruitless, LONGEST_PAUSE.bit_length())
        reading.next_at = head.number + min(pause, LONGEST_PAUSE)

    def _remove_reading(self, key: MarketKey) -> None:
        """Stop reading a market with covered debt."""
        del self._readings[key]
        log.info("history_covered market=%s", key)


def _build_spans(from_block: int, head: int) -> Sequence[Span]:
    """Return the ranges to read, just before ``from_block``, then after it, then long before."""
    near = max(0, from_block - NEAR_BLOCKS)
    spans = ((near, from_block - 1), (from_block, head), (0, near - 1))
    return [span for span in spans if span[0] <= span[1]]
