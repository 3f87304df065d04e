"""All positions of a market as columns, for what-if questions about prices."""

import numpy as np

from keeper.chain.listed import Listed
from keeper.columns.view import View
from keeper.domain.units import UINT256_MAX, WAD, BaseCurrency
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.accounts import decoded
from keeper.protocols.morpho_blue.model import Market, OraclePrice, State
from keeper.risk.table import Asset, Legs, Tabulated


def tabulated(
    view: View, market: Market, now: State, price: OraclePrice, loan_price: BaseCurrency | None
) -> Tabulated:
    """Return all accounts with debt. Health is exact, both legs are in loan units.

    ``now`` is accrued. Accounts with more collateral than the contract can represent cannot be
    valued.
    """
    lltv, rows = market.params.lltv, np.flatnonzero(view.owes())
    told = np.zeros(len(rows), dtype=np.bool_)
    found, at = list[tuple[float, bool, float, float]](), 0
    for _, block in view.blocks(rows):
        for position in decoded(block, view.columns.codes):
            if position.collateral * price <= UINT256_MAX:
                health = rules.health(position, now, price, lltv)
                worth = rules.quoted(position.collateral, price)
                told[at] = True
                found.append(
                    (health.factor / WAD, health.liquidatable, float(worth), float(health.borrowed))
                )
            at += 1
    columns = np.array(found, dtype=np.float64).reshape(-1, 4)
    count, both = len(columns), (market.collateral, market.loan)
    none = np.zeros(count)
    return Tabulated(
        legs=Legs(
            accounts=Listed(view, rows[told]),
            liquidatable=columns[:, 1] > 0,
            health=columns[:, 0],
            assets=tuple(Asset(token=one.address, symbol=one.symbol) for one in both),
            owner=np.repeat(np.arange(count), 2),
            asset=np.tile(np.arange(2), count),
            collateral=np.stack([columns[:, 2], none], axis=1).ravel(),
            debt=np.stack([none, columns[:, 3]], axis=1).ravel(),
            weight=np.full(2 * count, lltv / WAD),
            bonus=np.tile(np.array([rules.incentive(lltv) / WAD, 1.0]), count),
            per_base=(loan_price or 0, 10**market.loan.decimals),
        ),
        unvalued=len(rows) - count,
    )
