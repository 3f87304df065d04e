"""Accounts as arrays, the form in which columns write, read, store and restore them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keeper.columns.words import Flags, Floats, Rows, Words, approximate
from keeper.domain.errors import MarketUnreadable

_SAFETY: Final = 2.0**-50
"""Upper bound of the relative error of a balance's float."""

MOST_CODES: Final = 2**16


class Side(IntEnum):
    """Effect of a leg on health. Its float balance is rounded towards a lower health."""

    NEUTRAL = 0  # stored, without effect
    BACKS = 1
    OWED = -1
    DOUBTFUL = -2  # debt, whatever its balance is


Key = tuple[int, int, int]
"""Category, asset and role, as numbered by the adapter."""


@dataclass(slots=True)
class Codes:
    """Codes of the legs, a small number for each occurring category, asset and role.

    A leg's code includes its account's category, so that a block's prices, indices and eMode
    weights are one table by code. Code 0 means no leg.
    """

    keys: list[Key] = field(default_factory=lambda: [(0, 0, 0)])
    sides: list[Side] = field(default_factory=lambda: [Side.NEUTRAL])
    _known: dict[Key, int] = field(default_factory=dict)
    _columns: NDArray[np.int8] | None = None

    def code(self, key: Key, side: Side) -> int:
        """Return the code of a key, assigning a new one if needed.

        Raises:
            MarketUnreadable: there are too many kinds of legs.
        """
        found = self._known.get(key)
        if found is None:
            found = len(self.keys)
            if found == MOST_CODES:
                raise MarketUnreadable("more kinds of positions than can be told apart")
            self._known[key] = found
            self.keys.append(key)
            self.sides.append(side)
            self._columns = None
        return found

    def side_of(self) -> NDArray[np.int8]:
        """Return the side of each code."""
        if self._columns is None:
            self._columns = np.array(self.sides, dtype=np.int8)
        return self._columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Accounts with their legs, contiguous per account, in the accounts' order.

    ``words`` has a row for each leg, with the low and the high word of its balance, then the
    adapter's own words (such as a stored index).
    """

    category: NDArray[np.uint16]
    count: NDArray[np.uint16]
    code: NDArray[np.uint16]
    words: Words

    def __len__(self) -> int:
        return len(self.count)

    @property
    def owner(self) -> Rows:
        """The position in this block of each leg's account."""
        return np.repeat(np.arange(len(self.count)), self.count)

    @property
    def start(self) -> Rows:
        """The position of each account's first leg."""
        return np.cumsum(self.count, dtype=np.int64) - self.count

    def taken(self, places: Rows) -> "Block":
        """Return the accounts at these positions, in this order."""
        legs = runs(self.start[places], self.count[places])
        return Block(
            category=self.category[places],
            count=self.count[places],
            code=self.code[legs],
            words=self.words[legs],
        )


def runs(start: Rows, count: NDArray[np.uint16]) -> Rows:
    """Return the numbers ``start`` to ``start + count - 1`` of each run, concatenated."""
    total = int(count.sum(dtype=np.int64))
    before = np.cumsum(count, dtype=np.int64) - count
    return np.asarray(np.arange(total) + np.repeat(start - before, count), dtype=np.int64)


def joined_blocks(blocks: Sequence[Block]) -> Block:
    """Concatenate the accounts of several blocks."""
    return Block(
        category=np.concatenate([one.category for one in blocks]),
        count=np.concatenate([one.count for one in blocks]),
        code=np.concatenate([one.code for one in blocks]),
        words=np.concatenate([one.words for one in blocks]),
    )


def cautious(block: Block, codes: Codes) -> Floats:
    """Return each leg's balance as a float, rounded towards a lower health.

    Collateral is reduced by a unit (not below zero), and debt raised by one. That covers the
    rounding of a balance wherever an index is at least one. Zero stays zero.
    """
    side = codes.side_of()[block.code]
    near = approximate(block.words)
    less = np.maximum(near * (1.0 - _SAFETY) - 1.0, 0.0)
    more = near * (1.0 + _SAFETY) + 1.0
    return np.where(near == 0.0, 0.0, np.where(side == Side.BACKS, less, more))


def owing(block: Block, codes: Codes) -> Flags:
    """Flag the accounts with debt."""
    side = codes.side_of()[block.code]
    has = (block.words[:, 0] != 0) | (block.words[:, 1] != 0)
    owed = ((side == Side.OWED) & has) | (side == Side.DOUBTFUL)
    return added(block.owner, owed, len(block)) > 0


def added(owner: Rows, by_leg: Floats | Flags, accounts: int) -> Floats:
    """Return the sum of each account's legs."""
    return np.asarray(np.bincount(owner, weights=by_leg, minlength=accounts), dtype=np.float64)
