"""Accounts of one market as columns of exact balances, with the floats for a block's pass.

The first legs of each account are in planes, with one value per row. Further legs are in the
overflow. Rows are only added. There is one writer, and readers hold an immutable view. Before a row
is overwritten, its old contents are stored for the views that include them, as long as those exist.
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
"""Names of the exported arrays."""


class Columns:
    """Columns with ``planes`` legs per row and ``own`` words per leg for the adapter.

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
        self.newest: weakref.ref[Version] | None = None

    def __len__(self) -> int:
        return self.index.count

    def reserve(self, capacity: int) -> None:
        """Reserve memory for ``capacity`` accounts."""
        self.index.reserve(capacity)
        self._extend(capacity)

    def put(self, addresses: Bytes, block: Block) -> Rows:
        """Write accounts, each once, and return their rows. Unknown ones are added."""
        rows = self.index.rows_of(addresses)
        known = rows != UNKNOWN
        self._save_for_views(rows[known])
        if not known.all():
            self._extend(len(self) + int(np.count_nonzero(~known)))
            rows[~known] = self.index.append(addresses[~known])
        self._write(rows, block)
        self._changed[rows] = True
        return rows

    def block(self, rows: Rows) -> Block:
        """Return the present contents of these rows."""
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
        """Return the present contents of one row, without the overhead of many."""
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
        """Return the version under which the present contents will be stored."""
        latest = self.newest() if self.newest is not None else None
        if latest is None or latest.saved:
            made = Version()
            if latest is not None:
                latest.next = made
            self.newest = weakref.ref(made)
            return made
        return latest

    def to_arrays(self) -> dict[str, Array]:
        """Return all rows as plain arrays, the input of ``from_arrays``."""
        return self.part(np.arange(len(self)))

    def part(self, rows: Rows) -> dict[str, Array]:
        """Return these rows as plain arrays, with the keys of the codes."""
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
        """Return the rows written since the last call, as plain arrays."""
        rows = np.flatnonzero(self._changed)
        self._changed[:] = False
        return self.part(rows)

    def merge(self, arrays: Mapping[str, Array]) -> Rows:
        """Write exported rows (of these or of other columns) and return their positions.

        Merged rows do not count as changes.

        Raises:
            MarketUnreadable: the arrays do not fit together, or into these columns.
        """
        if any(name not in arrays for name in STORED):
            raise MarketUnreadable("stored accounts of which a part is missing")
        block = self._build_block(arrays)
        address = arrays["address"].astype(np.uint8).reshape(-1, ADDRESS_BYTES)
        if len(address) != len(block):
            raise MarketUnreadable("stored accounts without an address, or the reverse")
        rows = self.put(address, block)
        self._changed[rows] = False
        return rows

    def _build_block(self, arrays: Mapping[str, Array]) -> Block:
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

    def _save_for_views(self, rows: Rows) -> None:
        """Store the contents of these rows for the views that include them."""
        latest = self.newest() if self.newest is not None else None
        if latest is not None and len(rows):
            ordered = np.sort(rows)
            latest.saved.append((ordered, self.block(ordered)))

    def _extend(self, capacity: int) -> None:
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
    """Build columns from the arrays of ``to_arrays``."""
    made = Columns(planes, own)
    made.reserve(len(arrays["count"]))
    made.merge(arrays)
    return made
