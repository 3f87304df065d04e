"""
The accounts of one market: exact balances in columns, with what a block's pass reads beside them.

The first legs of each account lie in planes, one value for each row; what an account has beyond
them lies together in a heap. Rows are only added. One writer; readers hold a ``View``, which
stays as it was: before a row is overwritten, its old contents are kept for the views that
show them, and for nobody longer than they live.
"""

import weakref
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from keeper.columns.block import Block, Codes, Side, cautious, owing, runs
from keeper.columns.index import GROWTH, UNKNOWN, Index
from keeper.columns.spill import Spill
from keeper.columns.sums import BalanceSums
from keeper.columns.version import Version
from keeper.columns.words import ADDRESS_BYTES, BALANCE_WORDS, Bytes, Flags, Floats, Rows
from keeper.domain.errors import MarketUnreadable

_LEAST_GROWTH: Final = 64

Array = NDArray[Any]

STORED: Final = ("address", "category", "count", "code", "words", "keys")
"""What ``part`` names its arrays."""


class Columns:
    """
    See the module. ``planes`` legs of each row lie flat, with ``own`` words of the adapter's.

    ``sums`` holds the exact sum of the balances of each code.
    """

    def __init__(self, planes: int, own: int = 0) -> None:
        self.planes, self.width = planes, BALANCE_WORDS + own
        self.codes, self.index = Codes(), Index()
        self.code: NDArray[np.uint16] = np.zeros((planes, 0), dtype=np.uint16)
        self.amount: Floats = np.zeros((planes, 0))
        self.words: NDArray[np.uint64] = np.zeros((planes, 0, self.width), dtype=np.uint64)
        self.category: NDArray[np.uint16] = np.zeros(0, dtype=np.uint16)
        self.count: NDArray[np.uint16] = np.zeros(0, dtype=np.uint16)
        self.owes: Flags = np.zeros(0, dtype=np.bool_)
        self._changed: Flags = np.zeros(0, dtype=np.bool_)
        self.spill = Spill(self.width)
        self.sums = BalanceSums()
        self._latest: weakref.ref[Version] | None = None

    def __len__(self) -> int:
        return self.index.count

    def reserve(self, capacity: int) -> None:
        """Make room for so many accounts at once."""
        self.index.reserve(capacity)
        self._grow(capacity)

    def put(self, addresses: Bytes, block: Block) -> Rows:
        """Write these accounts, each named once, and return their rows; unknown ones are added."""
        rows = self.index.rows_of(addresses)
        known = rows != UNKNOWN
        self._keep(rows[known])
        if not known.all():
            self._grow(len(self) + int(np.count_nonzero(~known)))
            rows[~known] = self.index.append(addresses[~known])
        self._write(rows, block)
        self._changed[rows] = True
        return rows

    def block(self, rows: Rows) -> Block:
        """Return these rows as they are now."""
        count = self.count[rows]
        code = np.zeros(int(count.sum(dtype=np.int64)), dtype=np.uint16)
        words = np.zeros((len(code), self.width), dtype=np.uint64)
        start = np.cumsum(count, dtype=np.int64) - count
        for plane in range(self.planes):
            has = np.flatnonzero(count > plane)
            code[start[has] + plane] = self.code[plane][rows[has]]
            words[start[has] + plane] = self.words[plane][rows[has]]
        more = np.flatnonzero(count > self.planes)
        if len(more):
            further = count[more] - self.planes
            legs = runs(start[more] + self.planes, further)
            code[legs], words[legs] = self.spill.legs(rows[more], further)
        return Block(category=self.category[rows], count=count, code=code, words=words)

    def one(self, row: int) -> Block:
        """Return one row as it is now, without what it takes to look at many."""
        alone, count = slice(row, row + 1), int(self.count[row])
        if count > self.planes:
            return self.block(np.array([row]))
        return Block(
            category=self.category[alone].copy(),
            count=self.count[alone].copy(),
            code=self.code[:count, row].copy(),
            words=self.words[:count, row].copy(),
        )

    def version(self) -> Version:
        """Return what the rows' contents as they are now will be kept under."""
        latest = self._latest() if self._latest is not None else None
        if latest is None or latest.saved:
            made = Version()
            if latest is not None:
                latest.next = made
            self._latest = weakref.ref(made)
            return made
        return latest

    def to_arrays(self) -> dict[str, Array]:
        """Return all of it as plain arrays, from which ``from_arrays`` makes the same again."""
        return self.part(np.arange(len(self)))

    def part(self, rows: Rows) -> dict[str, Array]:
        """Return these rows as plain arrays, with what the codes mean."""
        block = self.block(rows)
        keys = [(*key, side) for key, side in zip(self.codes.keys, self.codes.sides, strict=True)]
        return {
            "address": self.index.addresses(rows),
            "category": block.category,
            "count": block.count,
            "code": block.code,
            "words": block.words,
            "keys": np.array(keys, dtype=np.int64),
        }

    def changes(self) -> dict[str, Array]:
        """Return the rows that were put since this was asked last, as ``part`` does."""
        rows = np.flatnonzero(self._changed)
        self._changed[:] = False
        return self.part(rows)

    def merge(self, arrays: Mapping[str, Array]) -> Rows:
        """
        Write the rows of ``part`` (of these or of other columns) and return where they are.

        What is merged is no change of these columns' own.

        Raises:
            MarketUnreadable: the arrays do not fit together, or into these columns.
        """
        if any(name not in arrays for name in STORED):
            raise MarketUnreadable("stored accounts of which a part is missing")
        block = self._block_of(arrays)
        address = arrays["address"].astype(np.uint8).reshape(-1, ADDRESS_BYTES)
        if len(address) != len(block):
            raise MarketUnreadable("stored accounts without an address, or the reverse")
        rows = self.put(address, block)
        self._changed[rows] = False
        return rows

    def _block_of(self, arrays: Mapping[str, Array]) -> Block:
        code, width = arrays["code"].astype(np.int64), arrays["words"].shape[-1]
        legs = int(arrays["count"].sum(dtype=np.int64))
        fits = len(arrays["category"]) == len(arrays["count"]) and legs == len(code)
        fits = fits and len(arrays["words"]) == legs and width == self.width
        if not fits or (legs and code.max() >= len(arrays["keys"])):
            raise MarketUnreadable("the stored accounts do not fit together")
        own = np.array(
            [
                self.codes.code((int(a), int(b), int(c)), Side(int(side))) if at else 0
                for at, (a, b, c, side) in enumerate(arrays["keys"].tolist())
            ],
            dtype=np.uint16,
        )
        return Block(
            category=arrays["category"].astype(np.uint16),
            count=arrays["count"].astype(np.uint16),
            code=own[code],
            words=arrays["words"].astype(np.uint64),
        )

    def _keep(self, rows: Rows) -> None:
        """Keep what these rows hold for the views that show it."""
        latest = self._latest() if self._latest is not None else None
        if latest is not None and len(rows):
            ordered = np.sort(rows)
            latest.saved.append((ordered, self.block(ordered)))

    def _grow(self, capacity: int) -> None:
        if capacity <= len(self.count):
            return
        if len(self.count):
            capacity = max(capacity, int(len(self.count) * GROWTH) + _LEAST_GROWTH)
        for name in ("code", "amount", "words"):
            old = getattr(self, name)
            new = np.zeros((old.shape[0], capacity, *old.shape[2:]), dtype=old.dtype)
            new[:, : old.shape[1]] = old
            setattr(self, name, new)
        for name in ("category", "count", "owes", "_changed"):
            old = getattr(self, name)
            new = np.zeros(capacity, dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def _write(self, rows: Rows, block: Block) -> None:
        amount, start, count = cautious(block, self.codes), block.start, block.count
        before = rows[self.count[rows] > 0]
        if len(before):
            self.sums.subtract(self.block(before))
        self.sums.add(block)
        self.spill.drop(rows[self.count[rows] > self.planes])
        for plane in range(self.planes):
            has = count > plane
            at, legs, bare = rows[has], start[has] + plane, rows[~has]
            self.code[plane][at], self.code[plane][bare] = block.code[legs], 0
            self.amount[plane][at], self.amount[plane][bare] = amount[legs], 0.0
            self.words[plane][at], self.words[plane][bare] = block.words[legs], 0
        more = np.flatnonzero(count > self.planes)
        if len(more):
            further = count[more] - self.planes
            legs = runs(start[more] + self.planes, further)
            self.spill.add(rows[more], further, block.code[legs], amount[legs], block.words[legs])
        self.category[rows], self.count[rows] = block.category, count
        self.owes[rows] = owing(block, self.codes)


def from_arrays(arrays: Mapping[str, Array], planes: int, own: int = 0) -> Columns:
    """Return the columns that ``to_arrays`` described."""
    made = Columns(planes, own)
    made.reserve(len(arrays["count"]))
    made.merge(arrays)
    return made
