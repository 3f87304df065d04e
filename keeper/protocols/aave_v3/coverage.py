"""A pool's own totals of variable debt, with the sums over the accounts in the columns."""

from collections import Counter
from typing import Final

from keeper.columns.table import Columns
from keeper.domain.coverage import DebtTotal
from keeper.domain.units import RAY, USD_E8
from keeper.protocols.aave_v3.accounts import Role
from keeper.protocols.aave_v3.model import PoolState, ReserveState

STABLE_DEBT: Final = "debt at a fixed rate: its contract states no exact total (up to 3.1)"
"""
Source: ``StableDebtToken`` of core-v3 1.19.3, whose total grows by an average rate.
"""

_VARIABLE: Final = frozenset({Role.DEBT, Role.IDLE_DEBT})


def debt_totals(pool: PoolState, columns: Columns) -> list[DebtTotal]:
    """Return each reserve's scaled total of variable debt, and the book's sum.

    Equal to the unit in every revision: the debt token's total is the sum of its balances. Source:
    ``ScaledBalanceTokenBase`` and ``IncentivizedERC20._totalSupply``, core-v3 1.19.3 and
    aave-v3-origin fd1fbd91. A token that does not answer is left out.
    """
    known = Counter[int]()
    for code, (_, identity, role) in enumerate(columns.codes.keys):
        if code and role in _VARIABLE:
            known[identity] += columns.sums.balance_sum(code)
    states = pool.reserves.items()
    in_dollars = pool.structure.base_unit == USD_E8
    return [
        _build_debt_total(pool, state, state.scaled_debt, known[identity], in_dollars=in_dollars)
        for identity, state in states
        if state.scaled_debt is not None
    ]


def _build_debt_total(
    pool: PoolState, state: ReserveState, stated: int, known: int, *, in_dollars: bool
) -> DebtTotal:
    priced = in_dollars and state.price is not None
    return DebtTotal(
        market=pool.structure.key,
        token=state.reserve.token,
        symbol=state.reserve.symbol,
        decimals=state.configuration.decimals,
        stated=stated,
        known=known,
        # As of the reserve's last update: interest since then is nothing beside the limit.
        token_units=(state.variable_index, RAY),
        usd_e8=(state.price or 0, state.unit) if priced else None,
        exception=STABLE_DEBT if state.reserve.stable_token is not None else "",
    )
