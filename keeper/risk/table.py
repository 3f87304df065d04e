"""Accounts and their legs as columns, for what-if valuations.

Values are floats. Whether an account is liquidatable now, and its present health factor, are the
market's exact ones. The legs of an account are contiguous.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from keeper.domain.account import AccountHealth
from keeper.domain.exposure import Exposure
from keeper.domain.units import WAD, Address, MarketKey

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

UNPRICED: Final = 0.0
"""Dollars per unit of an account without a dollar price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A token by address. It is one asset in all markets."""

    token: Address
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Accounts with debt and their legs at one block.

    By account, ``market_of`` (its index in ``markets``), ``liquidatable`` (the market's verdict),
    ``dollars`` (dollars per unit of its values, 0 where unknown) and ``scale`` (the factor from
    weighted collateral to the market's own health factor, due to its roundings). By leg, ``owner``
    (ascending) and ``asset``, with values in the account's unit.
    """

    markets: tuple[MarketKey, ...]
    accounts: Sequence[Address]
    assets: tuple[Asset, ...]
    market_of: Integers
    liquidatable: Flags
    dollars: Floats
    scale: Floats
    owner: Integers
    asset: Integers
    collateral: Floats
    debt: Floats
    weight: Floats
    bonus: Floats

    def summed(self, by_leg: Floats) -> Floats:
        """Sum a column of the legs by account."""
        return added(self.owner, by_leg, len(self.dollars))


@dataclass(frozen=True, slots=True, kw_only=True)
class Legs:
    """Accounts of one market and their legs, as in the position table but with their own assets.

    ``health`` is the market's own factor. Values times ``per_base`` (numerator, denominator) are in
    base currency.
    """

    accounts: Sequence[Address]
    liquidatable: Flags
    health: Floats
    assets: tuple[Asset, ...]
    owner: Integers
    asset: Integers
    collateral: Floats
    debt: Floats
    weight: Floats
    bonus: Floats
    per_base: tuple[int, int] = (1, 1)


_NONE: Final = np.zeros(0)

NO_LEGS: Final = Legs(
    accounts=(),
    liquidatable=np.zeros(0, dtype=np.bool_),
    health=_NONE,
    assets=(),
    owner=np.zeros(0, dtype=np.int64),
    asset=np.zeros(0, dtype=np.int64),
    collateral=_NONE,
    debt=_NONE,
    weight=_NONE,
    bonus=_NONE,
)
"""Legs of an empty market."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabulated:
    """A market as columns.

    ``apart`` are accounts with debt to be valued separately. ``unvalued`` counts accounts that
    cannot be valued.
    """

    legs: Legs
    apart: Sequence[Address] = ()
    unvalued: int = 0


@dataclass(slots=True)
class _Part:
    market: int
    dollars: float
    legs: Legs
    assets: Integers


@dataclass(slots=True)
class TableBuilder:
    """Builder of a table from whole markets and single accounts."""

    _markets: dict[MarketKey, int] = field(default_factory=dict)
    _assets: dict[Address, Asset] = field(default_factory=dict)
    _places: dict[Address, int] = field(default_factory=dict)
    _parts: list[_Part] = field(default_factory=list)

    def add(self, health: AccountHealth, exposure: Exposure, dollars_per_base: float) -> None:
        """Add an account with debt, valued by its market. 0 ``dollars_per_base`` means unknown."""
        legs = exposure.legs
        self.add_market(
            health.market,
            Legs(
                accounts=(health.account,),
                liquidatable=np.array([health.liquidatable]),
                health=np.array([health.health_factor / WAD]),
                assets=tuple(Asset(token=leg.token, symbol=leg.symbol) for leg in legs),
                owner=np.zeros(len(legs), dtype=np.int64),
                asset=np.arange(len(legs)),
                collateral=np.array([float(leg.collateral) for leg in legs]),
                debt=np.array([float(leg.debt) for leg in legs]),
                weight=np.array([leg.weight / WAD for leg in legs]),
                bonus=np.array([leg.bonus / WAD for leg in legs]),
                per_base=exposure.per_base,
            ),
            dollars_per_base,
        )

    def add_market(self, market: MarketKey, legs: Legs, dollars_per_base: float) -> None:
        """Add a market's accounts. 0 ``dollars_per_base`` means unknown."""
        numerator, denominator = legs.per_base
        for one in legs.assets:
            self._places.setdefault(one.token, len(self._places))
            self._assets.setdefault(one.token, one)
        self._parts.append(
            _Part(
                market=self._markets.setdefault(market, len(self._markets)),
                dollars=dollars_per_base * numerator / denominator,
                legs=legs,
                assets=np.array([self._places[one.token] for one in legs.assets], dtype=np.int64),
            )
        )

    def built(self) -> Table:
        """Return the table."""
        parts, counts = self._parts, [len(one.legs.accounts) for one in self._parts]
        first = np.cumsum([0, *counts])
        return Table(
            markets=tuple(self._markets),
            accounts=Joined([one.legs.accounts for one in parts]),
            assets=tuple(self._assets.values()),
            market_of=np.repeat(np.array([one.market for one in parts], dtype=np.int64), counts),
            liquidatable=_join_floats([one.legs.liquidatable for one in parts]).astype(np.bool_),
            dollars=np.repeat(np.array([one.dollars for one in parts]), counts),
            scale=_join_floats([_compute_scale(one.legs) for one in parts]),
            owner=_join_integers([o.legs.owner + f for o, f in zip(parts, first, strict=False)]),
            asset=_join_integers([one.assets[one.legs.asset] for one in parts]),
            collateral=_join_floats([one.legs.collateral for one in parts]),
            debt=_join_floats([one.legs.debt for one in parts]),
            weight=_join_floats([one.legs.weight for one in parts]),
            bonus=np.maximum(_join_floats([one.legs.bonus for one in parts]), 1.0),
        )


class Joined(Sequence[Address]):
    """Several sequences of accounts as one, without copies."""

    def __init__(self, parts: Sequence[Sequence[Address]]) -> None:
        self._parts = parts
        self._ends = np.cumsum([len(one) for one in parts], dtype=np.int64).tolist()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, at: int) -> Address: ...
    @overload
    def __getitem__(self, at: slice) -> list[Address]: ...
    def __getitem__(self, at: int | slice) -> Address | list[Address]:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        if not 0 <= at < len(self):
            raise IndexError(at)
        part = bisect_right(self._ends, at)
        return self._parts[part][at - (self._ends[part - 1] if part else 0)]

    def __iter__(self) -> Iterator[Address]:
        return chain.from_iterable(self._parts)


def _compute_scale(legs: Legs) -> Floats:
    """Return the factor from the legs' own quotient to the market's health factor."""
    count = len(legs.health)
    weighted = added(legs.owner, legs.collateral * legs.weight, count)
    scale = np.ones(count)
    stated = legs.health * added(legs.owner, legs.debt, count)
    np.divide(stated, weighted, out=scale, where=weighted > 0)
    return scale


def _join_floats(parts: Sequence[Floats] | Sequence[Flags]) -> Floats:
    return np.concatenate([np.zeros(0), *parts])


def _join_integers(parts: Sequence[Integers]) -> Integers:
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts])


def added(place: Integers, values: Floats, places: int) -> Floats:
    """Return the sum of the values at each place."""
    return np.asarray(np.bincount(place, weights=values, minlength=places), dtype=np.float64)


def factors(table: Table, moves: Mapping[Address, float]) -> Floats:
    """Return each asset's price factor, 1 plus its move (-0.2 for -20 %)."""
    return np.array([1.0 + moves.get(one.token, 0.0) for one in table.assets])
