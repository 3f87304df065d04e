"""Writer of the book's file, with each block's changes after the block's work.

Changes are copied as arrays when they are read, and written in a thread, one transaction after the
other. A failing disk only makes a restart slower. Unwritten changes wait until there are too many,
and then the whole book is written.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol, TypeVar

from keeper.abilities import KeepsColumns
from keeper.book.explaining import KeptCoverage
from keeper.book.file import BookFile, NotUsable
from keeper.book.kept import Arrays, Change, Kept, KeptStructure, MarketChange, Scanned
from keeper.book.trail import Trail
from keeper.domain.units import BlockHash, MarketKey

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_DELTAS: Final = 1_000
"""Maximum of stored deltas before the whole market is written."""
MOST_WAITING: Final = 256
"""Maximum of pending deltas while the disk fails."""
LONGEST_REST: Final = 64
"""Maximum of blocks between two attempts to write."""


@dataclass(slots=True)
class Standing:
    """A followed market's storable state. Its logs are known from ``since`` on."""

    market: KeepsColumns
    key: MarketKey
    since: int
    scanned_to: int
    structure: KeptStructure | None = None


@dataclass(slots=True)
class _PendingWrites:
    """One market's unwritten changes."""

    whole: bool = True
    deltas: list[Arrays] = field(default_factory=list)
    on_disk: int = 0

    def changed(self, arrays: Arrays) -> None:
        if self.whole or not arrays:
            return
        self.deltas.append(arrays)
        if len(self.deltas) > MOST_WAITING or self.on_disk + len(self.deltas) > MOST_DELTAS:
            self.whole = True
            self.deltas.clear()

    def written(self, change: MarketChange) -> None:
        if change.base is not None:
            self.on_disk = 0
        self.on_disk += len(change.deltas)

    def not_written(self, change: MarketChange) -> None:
        if change.base is not None:
            self.whole = True
        self.deltas[:0] = [] if self.whole else change.deltas
        if self.whole:
            self.deltas.clear()


class Store(Protocol):
    """An open file of a book. ``said`` describes an earlier one that was renamed."""

    said: str

    def kept(self) -> Kept:
        """Load everything that an earlier process left."""
        ...

    def spare(self, reason: str) -> None:
        """Leave the file to its owner, if this process only visits it."""
        ...

    def write(self, change: Change) -> None:
        """Write one state."""
        ...

    def write_scan(self, found: Scanned) -> None:
        """Write the result of a scan."""
        ...

    def close(self) -> None:
        """Release the file for the next process."""
        ...


class Keeping:
    """Writer of one book's file, with its pending changes. Does nothing without a file.

    ``failures`` counts failed writes, ``failing`` is true after a failed last one. ``kept_block``
    is the newest block written by this process, ``found_block`` the newest one of an earlier
    process. None without one.
    """

    def __init__(
        self,
        path: Path | None,
        chain_id: int,
        opening: Callable[[Path, int], Store] = BookFile,
    ) -> None:
        self.failures = 0
        self.failing = False
        self.kept_block: int | None = None
        self.found_block: int | None = None
        self.facts_of: Callable[[], Mapping[str, str]] = dict
        """Returns the facts of the chain to store beside the book, by name."""
        self._facts_on_disk: dict[str, str] = {}
        self._path = path
        self._chain_id = chain_id
        self._opening = opening
        self._file: Store | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="book")
        self.waiting: dict[MarketKey, _PendingWrites] = {}
        self._on_disk: set[BlockHash] = set()
        self._coverage_on_disk: object = None
        self._writing: asyncio.Future[None] | None = None
        self._rest = 0
        self._rests_for = 1
        self._broken: BaseException | None = None

    @property
    def enabled(self) -> bool:
        """Whether a file is open."""
        return self._file is not None

    @property
    def kept_facts(self) -> Mapping[str, str]:
        """The stored facts of the chain, by name."""
        return dict(self._facts_on_disk)

    async def open(self) -> Kept:
        """Open the file and load an earlier process's state, empty for an unusable file."""
        if self._path is None or self._file is not None:
            return Kept()
        try:
            self._file = await self._run(self._opening, self._path, self._chain_id)
            kept = await self._run(self._file.kept)
        except NotUsable as error:
            self._stop_writing(str(error))
            return Kept()
        if self._file.said:
            log.warning(
                "book_rebuilt reason=the file %s cannot be used, %s",
                self._path.name,
                self._file.said,
            )
        self._on_disk = {one.hash for one in kept.blocks}
        self._facts_on_disk = dict(kept.facts)
        self.found_block = kept.blocks[-1].number if kept.markets else None
        return kept

    def taken_up(self, market: MarketKey, deltas: int) -> None:
        """Note that a market is in memory as stored."""
        self.waiting[market] = _PendingWrites(whole=False, on_disk=deltas)

    def loaded(self, market: MarketKey) -> None:
        """Note that a market was read again and has to be written as a whole."""
        self.waiting[market] = _PendingWrites()

    def changed(self, market: MarketKey, arrays: Arrays) -> None:
        """Note a block's changes of a market."""
        if self._file is not None:
            self.waiting.setdefault(market, _PendingWrites()).changed(arrays)

    def spare(self, reason: str) -> None:
        """Note that the file belongs to another configuration or chain."""
        if self._file is not None:
            self._file.spare(reason)

    def rewrite(self, blocks: Iterable[BlockHash]) -> None:
        """Schedule blocks with additional logs for another write."""
        self._on_disk -= set(blocks)

    def scanned(self, found: Scanned) -> None:
        """Write the progress of a history, unless a write is running."""
        if self._file is not None and self._is_free():
            self._start_write(lambda file: file.write_scan(found), lambda: None, lambda: None)

    def is_free(self) -> bool:
        """Whether a write can start now."""
        return self._file is not None and self._is_free()

    def keep(
        self, trail: Trail, standings: Sequence[Standing], coverage: KeptCoverage | None = None
    ) -> None:
        """Start writing the state after the newest block, without waiting.

        ``standings`` are the markets without unread logs. Does nothing during a write, since the
        next block covers this one.
        """
        if self._broken is not None:
            raise self._broken
        tip = trail.tip
        if self._file is None or tip is None or not self._is_free():
            return
        if self._rest > 0:
            self._rest -= 1
            return
        change = self._collect_change(trail, standings)
        signature = None if coverage is None else coverage.signature
        if signature != self._coverage_on_disk:
            change = replace(change, coverage=coverage)

        def done() -> None:
            self._coverage_on_disk = signature
            self.kept_block = tip.number
            self._on_disk = (self._on_disk - set(change.gone)) | {o.hash for o in change.blocks}
            self._facts_on_disk.update(change.facts)
            for one in change.markets:
                self.waiting[one.market].written(one)

        def failed() -> None:
            for one in change.markets:
                self.waiting[one.market].not_written(one)

        self._start_write(lambda file: file.write(change), done, failed)

    async def written(self) -> None:
        """Wait until no write is running."""
        while self._writing is not None and not self._writing.done():
            await asyncio.wait([self._writing])
        await asyncio.sleep(0)  # callbacks run on the event loop

    async def close(self) -> None:
        """Finish the running write and close the file."""
        await self.written()
        if self._file is not None:
            await self._run(self._file.close)
            self._file = None
        self._thread.shutdown(wait=True)

    def _collect_change(self, trail: Trail, standings: Sequence[Standing]) -> Change:
        """Return the change to write, and mark it as no longer pending."""
        here = {one.hash: one for one in trail.blocks}
        tip = trail.blocks[-1]
        markets = list[MarketChange]()
        for one in standings:
            waiting = self.waiting.setdefault(one.key, _PendingWrites())
            deltas, waiting.deltas = tuple(waiting.deltas), []
            base = one.market.to_arrays() if waiting.whole else None
            waiting.whole = False
            markets.append(
                MarketChange(
                    market=one.key,
                    form=one.market.array_form(),
                    number=tip.number,
                    hash=tip.hash,
                    since=one.since,
                    scanned_to=one.scanned_to,
                    base=base,
                    deltas=() if base is not None else deltas,
                    structure=one.structure,
                )
            )
        return Change(
            gone=tuple(self._on_disk - here.keys()),
            blocks=tuple(one for one in here.values() if one.hash not in self._on_disk),
            markets=tuple(markets),
            facts={
                name: facts
                for name, facts in self.facts_of().items()
                if self._facts_on_disk.get(name) != facts
            },
        )

    def _is_free(self) -> bool:
        return self._writing is None or self._writing.done()

    def _start_write(
        self,
        write: Callable[[Store], None],
        done: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        """Write in the thread, then report the result on the event loop."""
        file = self._file
        if file is None:
            return
        future = asyncio.get_running_loop().run_in_executor(self._thread, write, file)

        def over(finished: asyncio.Future[None]) -> None:
            error = finished.exception()
            if error is None:
                done()
                self._note_recovery()
            else:
                failed()
                self._note_failure(error)

        future.add_done_callback(over)
        self._writing = future

    def _note_recovery(self) -> None:
        if self.failing:
            log.warning("book_kept_again file=%s", self._path and self._path.name)
        self.failing, self._rests_for = False, 1

    def _note_failure(self, error: BaseException) -> None:
        if not isinstance(error, sqlite3.Error | OSError):
            self._broken = error  # a bug, raised by the next call
            return
        self.failures += 1
        if not self.failing:
            log.warning(
                "book_not_kept file=%s reason=%s: a restart will take longer",
                self._path and self._path.name,
                error,
            )
        self.failing, self._rest = True, self._rests_for
        self._rests_for = min(2 * self._rests_for, LONGEST_REST)

    def _stop_writing(self, reason: str) -> None:
        self.failures += 1
        self.failing = True
        self._file = None
        log.warning("book_not_kept reason=%s: a restart will take longer", reason)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
