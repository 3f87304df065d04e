"""Price stress, with the liquidatable accounts, sales and losses after a price move.

Every account is valued at the moved prices with the weights of its legs. Interest, other prices and
the price impact of liquidations are ignored. An account without a moved token keeps its market's
verdict, so that no move reproduces the present state exactly.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.risk.table import Flags, Floats, Table, added

BLOCK: Final = 65_536
"""Accounts per batch when collateral is paired with debt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stress:
    """A table after a price move, in dollars. Accounts without a dollar price count as 0.

    By account, ``liquidatable`` after the move, ``crossed`` for those that are not so now, and the
    ``health`` factor. By asset, ``collateral_at_risk`` and ``debt_at_risk`` of all liquidatable
    accounts, ``sold`` for the collateral that repays as much debt as possible, and ``bonus`` for
    the liquidators' part of it. ``pairs[collateral, debt]`` splits ``sold`` by the repaid debt.
    """

    liquidatable: Flags
    crossed: Flags
    health: Floats
    collateral_at_risk: Floats
    debt_at_risk: Floats
    sold: Floats
    bonus: Floats
    pairs: Floats
    bad_debt: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Numbers of accounts and dollars at one point of a curve."""

    accounts: int
    crossed: int
    collateral: float
    debt: float
    bonus: float
    bad_debt: float


def stressed(table: Table, factor: Floats) -> Stress:
    """Return the table with each asset's price multiplied by its ``factor``.

    ``bad_debt`` is debt in excess of all collateral. Sales are an upper bound, in which the
    collateral repays as much as its bonus allows, whatever close factor a protocol has.
    """
    moved = factor[table.asset]
    collateral, debt = table.collateral * moved, table.debt * moved
    owed = table.summed(debt)
    health = _compute_health(table, collateral, owed)
    touched = table.summed((moved != 1.0).astype(np.float64)) > 0
    liquidatable = np.where(touched, health < 1.0, table.liquidatable)
    risk = table.dollars * liquidatable
    sold = _compute_sales(table, collateral, owed)
    return Stress(
        liquidatable=liquidatable,
        crossed=liquidatable & ~table.liquidatable,
        health=health,
        collateral_at_risk=_sum_by_asset(table, collateral * risk[table.owner]),
        debt_at_risk=_sum_by_asset(table, debt * risk[table.owner]),
        sold=_sum_by_asset(table, sold * risk[table.owner]),
        pairs=_sum_pairs(table, sold * risk[table.owner], debt, risk > 0),
        bonus=_sum_by_asset(table, sold * (1.0 - 1.0 / table.bonus) * risk[table.owner]),
        bad_debt=float(np.sum(np.maximum(owed - table.summed(collateral), 0.0) * risk)),
    )


def totals(stress: Stress) -> Totals:
    """Return the totals of a curve's point."""
    return Totals(
        accounts=int(np.count_nonzero(stress.liquidatable)),
        crossed=int(np.count_nonzero(stress.crossed)),
        collateral=float(np.sum(stress.collateral_at_risk)),
        debt=float(np.sum(stress.debt_at_risk)),
        bonus=float(np.sum(stress.bonus)),
        bad_debt=stress.bad_debt,
    )


def _compute_health(table: Table, collateral: Floats, owed: Floats) -> Floats:
    """Return health factors scaled by the market's own roundings, infinite without debt."""
    weighted = table.summed(collateral * table.weight) * table.scale
    return _divide(weighted, owed, np.inf)


def _compute_sales(table: Table, collateral: Floats, owed: Floats) -> Floats:
    """Return the collateral sold per leg to repay as much debt as it can."""
    payable = table.summed(collateral / table.bonus)
    share = _divide(np.minimum(owed, payable), payable, 0.0)
    return collateral * share[table.owner]


def _divide(above: Floats, below: Floats, otherwise: float) -> Floats:
    """Return ``above / below``, and ``otherwise`` where ``below`` is not positive."""
    out = np.full(below.shape, otherwise)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _sum_by_asset(table: Table, by_leg: Floats) -> Floats:
    return added(table.asset, by_leg, len(table.assets))


def _sum_pairs(table: Table, sold: Floats, debt: Floats, concerned: Flags) -> Floats:
    """Return the sales of each asset for each debt, split by the shares of the account's debts."""
    width = len(table.assets)
    found = np.zeros((width, width))
    legs = np.flatnonzero(concerned[table.owner])
    place = (np.cumsum(concerned) - 1)[table.owner[legs]]
    for start in range(0, int(np.count_nonzero(concerned)), BLOCK):
        first, end = np.searchsorted(place, (start, start + BLOCK))
        inside, at = legs[first:end], place[first:end] - start
        if not len(inside):
            continue
        spread = np.zeros((2, int(at[-1]) + 1, width))
        np.add.at(spread[0], (at, table.asset[inside]), sold[inside])
        np.add.at(spread[1], (at, table.asset[inside]), debt[inside])
        whole = np.repeat(spread[1].sum(axis=1, keepdims=True), width, axis=1)
        found += spread[0].T @ _divide(spread[1], whole, 0.0)
    return found
