"""A command's use of the stored book, which it continues and updates."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from keeper.book.follower import Follower, Progress
from keeper.book.keeping import Keeping
from keeper.book.visiting import VisitedFile
from keeper.domain.head import Head
from keeper.domain.units import MarketKey

BOOK_STAGE = "book"
"""The stage of a line about the book's source."""
TROUBLE_STAGE = "book trouble"
"""The stage of a line about an unused or unwritten file."""


class Visit:
    """One command's use of a book's file. Does nothing without a stored book."""

    def __init__(
        self, path: Path | None, chain_id: int, progress: Callable[[Progress], None]
    ) -> None:
        """Prepare the visit without opening the file."""
        self._chain_id = chain_id
        self._progress = progress
        self._file = None if path is None else VisitedFile(path, chain_id)

    @property
    def facts(self) -> Mapping[str, str]:
        """The stored facts of the chain, by name, none where the file is of another chain."""
        file = self._file
        if file is None or (file.spared and not file.is_busy):
            return {}
        return file.kept().facts

    @property
    def begins_file(self) -> bool:
        """Whether the file had no market and now holds this command's accounts."""
        file = self._file
        return file is not None and not file.spared and not file.kept().markets

    async def keep_facts(self, facts: Mapping[str, str]) -> None:
        """Persist new facts of the chain, unless a keeper runs."""
        file = self._file
        if file is None:
            return
        known = file.kept().facts
        news = {name: text for name, text in facts.items() if known.get(name) != text}
        if news:
            await asyncio.to_thread(file.write_facts, news)

    async def read(self) -> None:
        """Read the file, before the block to follow to is requested."""
        if self._file is not None:
            await asyncio.to_thread(self._file.kept)

    @contextlib.asynccontextmanager
    async def lent_to(
        self, follower: Follower, head: Head, *, is_past: bool
    ) -> AsyncIterator[None]:
        """Lend the file to a follower that has not started, and persist its state at the end."""
        file = self._file
        if file is None:
            yield
            return
        if self._is_older_than_all(file, head):
            yield
            return
        follower.keeping = Keeping(file.path, self._chain_id, lambda *_: file)
        follower.restores_structure = True
        try:
            self._report_origin(file, head)
            yield
        except BaseException:
            await follower.keeping.close()
            raise
        await follower.close()
        if file.spared and not (file.unused or file.is_busy or is_past):
            self._report(TROUBLE_STAGE, f"what was read is not kept: {file.spared}")

    def _is_older_than_all(self, file: VisitedFile, head: Head) -> bool:
        blocks = file.kept().blocks
        if not blocks or head.number >= blocks[0].number:
            return False
        self._report(
            TROUBLE_STAGE,
            f"block {head.number} is before the kept book, which goes back to block"
            f" {blocks[0].number}: the history is read anew, and not kept",
        )
        return True

    def _report_origin(self, file: VisitedFile, head: Head) -> None:
        kept = file.kept()
        if file.unused:
            and_kept = ", and nothing is kept" if file.spared else ""
            self._report(TROUBLE_STAGE, f"the kept book is not used: {file.unused}{and_kept}")
        elif kept.markets:
            newest = kept.blocks[-1].number if kept.blocks else 0
            self._report(BOOK_STAGE, f"from the kept book of block {newest} to block {head.number}")

    def _report(self, stage: str, words: str) -> None:
        self._progress(Progress(market=MarketKey(""), stage=stage, detail=words))
