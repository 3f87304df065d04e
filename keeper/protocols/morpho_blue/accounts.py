"""Encodes a market's positions as columns, and decodes them."""

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
    """Role of a leg."""

    COLLATERAL = 1
    DEBT = 2


_SIDES: Final = {Role.COLLATERAL: Side.BACKS, Role.DEBT: Side.OWED}


def new_columns() -> Columns:
    """Return a market's columns, empty."""
    return Columns(PLANES)


def encoded(positions: Iterable[Position], into: Columns) -> Block:
    """Encode positions as they are written to the columns, always with both legs."""
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
    """Decode the positions of a block. An account that is only named gets an empty one."""
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
    """Return a block of ``count`` accounts that borrowed and have not been read."""
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
    """Return the arrays of all markets, with the market's id as prefix of the names."""
    return {
        f"{each}/{name}": array for each, arrays in books.items() for name, array in arrays.items()
    }


def by_market(pairs: Collection[Pair]) -> dict[MarketId, list[Address]]:
    """Group positions by market. Accounts are sorted and unique."""
    found = dict[MarketId, list[Address]]()
    for identity, account in sorted(set(pairs)):
        found.setdefault(identity, []).append(account)
    return found
