"""
Many accounts as columns: who holds and owes what, and how much it counts.

Floats, since the questions asked of it are what-ifs; whether an account can be liquidated now is
the exact verdict of its market, carried along. The rows of an account stand together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keeper.domain.account import AccountHealth
from keeper.domain.exposure import Exposure
from keeper.domain.units import WAD, Address, MarketKey

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

UNPRICED: Final = 0.0
"""Dollars per unit of an account whose values nobody states in dollars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A token by address; one token is one asset in whatever markets it is used."""

    token: Address
    symbol: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """
    Accounts with debt and their legs at one block.

    By account: ``market_of`` (its place in ``markets``), ``liquidatable`` (the market's verdict),
    ``dollars`` (dollars per unit of its values; 0 where unknown), ``scale`` (what the
    weighted collateral is to be multiplied with to give the market's own health factor: its
    roundings). By leg: ``owner``, ascending, and ``asset``, with values in the account's unit.
    """

    markets: tuple[MarketKey, ...]
    accounts: tuple[Address, ...]
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
        """Return a column of the legs added up by account."""
        return added(self.owner, by_leg, len(self.dollars))


@dataclass(slots=True)
class TableBuilder:
    """Collects accounts, one by one, into a table."""

    _markets: dict[MarketKey, int] = field(default_factory=dict)
    _assets: dict[Address, int] = field(default_factory=dict)
    _symbols: dict[Address, str] = field(default_factory=dict)
    _accounts: list[Address] = field(default_factory=list)
    _rows: list[tuple[int, bool, float, float]] = field(default_factory=list)
    _legs: list[tuple[int, int, float, float, float, float]] = field(default_factory=list)

    def add(self, health: AccountHealth, exposure: Exposure, dollars_per_base: float) -> None:
        """Add an account with debt, valued by its market; ``dollars_per_base`` 0: unknown."""
        account = len(self._accounts)
        weighted = sum(leg.collateral * leg.weight for leg in exposure.legs) / WAD
        owed = float(sum(leg.debt for leg in exposure.legs))
        stated = health.health_factor / WAD
        scale = stated * owed / weighted if weighted else 1.0
        market = self._markets.setdefault(health.market, len(self._markets))
        numerator, denominator = exposure.per_base
        dollars = dollars_per_base * numerator / denominator
        self._accounts.append(health.account)
        self._rows.append((market, health.liquidatable, dollars, scale))
        for leg in exposure.legs:
            asset = self._assets.setdefault(leg.token, len(self._assets))
            self._symbols.setdefault(leg.token, leg.symbol)
            amounts = (float(leg.collateral), float(leg.debt))
            self._legs.append((account, asset, *amounts, leg.weight / WAD, leg.bonus / WAD))

    def built(self) -> Table:
        """Return the table."""
        rows, legs = _columns(self._rows, 4), _columns(self._legs, 6)
        return Table(
            markets=tuple(self._markets),
            accounts=tuple(self._accounts),
            assets=tuple(Asset(token=one, symbol=self._symbols[one]) for one in self._assets),
            market_of=rows[0].astype(np.int64),
            liquidatable=rows[1].astype(np.bool_),
            dollars=rows[2],
            scale=rows[3],
            owner=legs[0].astype(np.int64),
            asset=legs[1].astype(np.int64),
            collateral=legs[2],
            debt=legs[3],
            weight=legs[4],
            bonus=np.maximum(legs[5], 1.0),
        )


def added(place: Integers, values: Floats, places: int) -> Floats:
    """Return the sum of the values at each place."""
    return np.asarray(np.bincount(place, weights=values, minlength=places), dtype=np.float64)


def factors(table: Table, moves: Mapping[Address, float]) -> Floats:
    """Return what each asset's price is multiplied with: 1 plus its move (-0.2 for -20 %)."""
    return np.array([1.0 + moves.get(one.token, 0.0) for one in table.assets])


def _columns(rows: Iterable[tuple[float, ...]], width: int) -> Floats:
    return np.array(list(rows), dtype=np.float64).reshape(-1, width).T.copy()
