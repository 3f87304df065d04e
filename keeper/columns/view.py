"""Immutable view of the columns at a block's snapshot."""

from collections.abc import Iterator, Sequence
from typing import Final, overload

import numpy as np

from keeper.columns.block import Block, joined_blocks, owing
from keeper.columns.index import UNKNOWN
from keeper.columns.table import Columns
from keeper.columns.version import places
from keeper.columns.words import ADDRESS_BYTES, Bytes, Flags, Rows

AT_ONCE: Final = 4_096
"""Accounts read at a time when all are read."""


class View(Sequence[bytes]):
    """Accounts of one market at one block. As a sequence, their addresses.

    Reading costs as much as in the columns, plus a search of the overwritten rows.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._count = len(columns)
        self.version = columns.version()

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self[row] for row in range(*at.indices(self._count))]
        if not -self._count <= at < self._count:
            raise IndexError(at)
        row = at % self._count
        return bytes(self.columns.index.addresses(slice(row, row + 1)).tobytes())

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, self._count, AT_ONCE):
            rows = slice(start, min(start + AT_ONCE, self._count))
            together = self.columns.index.addresses(rows).tobytes()
            for at in range(0, len(together), ADDRESS_BYTES):
                yield together[at : at + ADDRESS_BYTES]

    def row_of(self, address: bytes) -> int:
        """Return an account's row, ``UNKNOWN`` where the view does not include it."""
        row = self.columns.index.row_of(address)
        return row if row < self._count else UNKNOWN

    def rows_of(self, addresses: Bytes) -> Rows:
        """Return each account's row, ``UNKNOWN`` where the view does not include it."""
        rows = self.columns.index.rows_of(addresses)
        return np.where(rows < self._count, rows, UNKNOWN)

    def addresses(self, rows: Rows) -> Bytes:
        """Return the addresses of these rows."""
        return self.columns.index.addresses(rows)

    def overwritten(self) -> Rows:
        """Return the rows of this view with changed contents, ascending."""
        rows = self.version.overwritten()
        return rows[rows < self._count]

    def block(self, rows: Rows) -> Block:
        """Return these rows as of the view."""
        blocks, place = [self.columns.block(rows)], np.arange(len(rows))
        open_, end = np.ones(len(rows), dtype=np.bool_), len(rows)
        for saved, block in self.version.all_saved():
            at, there = places(saved, rows)
            there &= open_
            if there.any():
                blocks.append(block)
                place[there], open_[there] = end + at[there], False
                end += len(saved)
        return blocks[0] if len(blocks) == 1 else joined_blocks(blocks).taken(place)

    def one(self, row: int) -> Block:
        """Return one row as of the view."""
        for saved, block in self.version.all_saved():
            at = int(np.searchsorted(saved, row))
            if at < len(saved) and saved[at] == row:
                return block.taken(np.array([at]))
        return self.columns.one(row)

    def blocks(self, rows: Rows) -> Iterator[tuple[Rows, Block]]:
        """Yield these rows as of the view, in bounded parts."""
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            yield part, self.block(part)

    def owes(self) -> Flags:
        """Flag the accounts with debt."""
        found = self.columns.owes[: self._count]
        changed = self.overwritten()
        if len(changed):
            found = found.copy()
            found[changed] = owing(self.block(changed), self.columns.codes)
        return found
