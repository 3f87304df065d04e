"""Overflow storage for legs beyond the fixed planes, compacted when fragmented."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from keeper.columns.block import runs
from keeper.columns.words import Floats, Rows, Words

_GROWTH: Final = 5 / 4
_TOLERATED: Final = 4_096
"""Maximum of holes before the legs are compacted."""

Codes = NDArray[np.uint16]


class Spill:
    """Legs by account. ``row`` is the account of each, -1 in a hole.

    The first leg of each account is indexed by ``_rows``, ascending, since few accounts have any.
    """

    def __init__(self, width: int) -> None:
        self.used = 0
        self.row: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.code: Codes = np.zeros(0, dtype=np.uint16)
        self.amount: Floats = np.zeros(0)
        self._words: Words = np.zeros((0, width), dtype=np.uint64)
        self._holes = 0
        self._rows: Rows = np.zeros(0, dtype=np.int64)
        self._first: Rows = np.zeros(0, dtype=np.int64)
        self._count: Rows = np.zeros(0, dtype=np.int64)

    def legs(self, rows: Rows, count: NDArray[np.uint16]) -> tuple[Codes, Words]:
        """Return the legs of these accounts, with the given number for each."""
        at = runs(self._first[np.searchsorted(self._rows, rows)], count)
        return self.code[at], self._words[at]

    def drop(self, rows: Rows) -> None:
        """Remove the legs of these accounts, all of which have some."""
        if not len(rows):
            return
        at = np.searchsorted(self._rows, rows)
        legs = runs(self._first[at], self._count[at].astype(np.uint16))
        self.row[legs], self.code[legs], self.amount[legs] = -1, 0, 0.0
        self._holes += len(legs)
        self._rows, self._first, self._count = (
            np.delete(one, at) for one in (self._rows, self._first, self._count)
        )
        if self._holes > _TOLERATED + self.used // 4:
            self._close_holes()

    def add(
        self, rows: Rows, count: NDArray[np.uint16], code: Codes, amount: Floats, words: Words
    ) -> None:
        """Append the legs of accounts without any here."""
        end = self.used + len(code)
        self._extend(end)
        legs = slice(self.used, end)
        self.row[legs], self.code[legs] = np.repeat(rows, count), code
        self.amount[legs], self._words[legs] = amount, words
        first = self.used + np.cumsum(count, dtype=np.int64) - count
        self.used = end
        self._rows = np.concatenate([self._rows, rows])
        order = np.argsort(self._rows, kind="stable")
        self._rows = self._rows[order]
        self._first = np.concatenate([self._first, first])[order]
        self._count = np.concatenate([self._count, count.astype(np.int64)])[order]

    def _extend(self, capacity: int) -> None:
        if capacity <= len(self.row):
            return
        if len(self.row):
            capacity = max(capacity, int(len(self.row) * _GROWTH))
        for name in ("row", "code", "amount", "_words"):
            old = getattr(self, name)
            new = np.zeros((capacity, *old.shape[1:]), dtype=old.dtype)
            new[: self.used] = old[: self.used]
            setattr(self, name, new)

    def _close_holes(self) -> None:
        kept = np.flatnonzero(self.row[: self.used] >= 0)
        moved = np.cumsum(self.row[: self.used] >= 0) - 1
        for name in ("row", "code", "amount", "_words"):
            column = getattr(self, name)
            column[: len(kept)] = column[kept]
        self.used, self._holes = len(kept), 0
        self._first = moved[self._first]
