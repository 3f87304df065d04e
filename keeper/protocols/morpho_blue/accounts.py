"""A market's positions in columns: to arrays and back."""

import enum
from collections.abc import Collection, Iterable, Mapping
from typing import Final

import numpy as np

from keeper.columns.block import Block, Codes, Side
from keeper.columns.table import Array, Columns
from keeper.columns.words import joined, packed, split
from keeper.domain.units import Address, TokenUnits
from keeper.protocols.morpho_blue.events import Pair
from keeper.protocols.morpho_blue.model import MarketId, Position, Shares

PLANES: Final = 2
"""Every position has a collateral and a debt, whatever they are."""


class Role(enum.IntEnum):
    """What a leg is."""

    COLLATERAL = 1
    DEBT = 2


_SIDES: Final = {Role.COLLATERAL: Side.BACKS, Role.DEBT: Side.OWED}


def new_columns() -> Columns:
    """Return a market's columns, empty."""
    return Columns(PLANES)


def encoded(positions: Iterable[Position], into: Columns) -> Block:
    """Return these positions as they are written to the columns; both legs always."""
    kept = list(positions)
    codes = [into.codes.code((0, 0, role), _SIDES[role]) for role in Role]
    return Block(
        category=np.zeros(len(kept), dtype=np.uint16),
        count=np.full(len(kept), len(codes), dtype=np.uint16),
        code=np.tile(np.array(codes, dtype=np.uint16), len(kept)),
        words=split(
            balance for one in kept for balance in (int(one.collateral), int(one.borrow_shares))
        ),
    )


def decoded(block: Block, codes: Codes) -> list[Position]:
    """Return the positions of a block; of an account that was only named, one of nothing."""
    found, at = list[Position](), 0
    legs = list(zip(block.code.tolist(), block.words.tolist(), strict=True))
    for count in block.count.tolist():
        held = dict.fromkeys(Role, 0)
        for code, (low, high) in legs[at : at + count]:
            held[Role(codes.keys[code][2])] = joined(low, high)
        found.append(
            Position(
                borrow_shares=Shares(held[Role.DEBT]), collateral=TokenUnits(held[Role.COLLATERAL])
            )
        )
        at += count
    return found


def named(count: int) -> Block:
    """Return so many accounts of which nothing is known but that they borrowed."""
    none = np.zeros(count, dtype=np.uint16)
    return Block(
        category=none,
        count=none,
        code=np.zeros(0, dtype=np.uint16),
        words=np.zeros((0, 2), dtype=np.uint64),
    )


def filled(positions: Mapping[Address, Position]) -> Columns:
    """Return columns of these positions."""
    made = new_columns()
    if positions:
        made.put(packed(list(positions)), encoded(positions.values(), made))
    return made


def named_apart(books: Mapping[MarketId, Mapping[str, Array]]) -> dict[str, Array]:
    """Return the arrays of each market's columns, named after it."""
    return {
        f"{each}/{name}": array for each, arrays in books.items() for name, array in arrays.items()
    }


def by_market(pairs: Collection[Pair]) -> dict[MarketId, list[Address]]:
    """Return whose positions these are, by market, in order and each once."""
    found = dict[MarketId, list[Address]]()
    for identity, account in sorted(set(pairs)):
        found.setdefault(identity, []).append(account)
    return found
