"""Predicts a pool's indices, rates and totals from its logs.

Every change of a reserve's interest state emits ``ReserveDataUpdated`` with the new state, except
for collateral that a liquidator receives as aTokens (from 3.3). Every change of a scaled total is a
``Mint`` or a ``Burn``. Sources: ``LiquidationLogic``, ``ReserveLogic`` and
``ScaledBalanceTokenBase``, core-v3 1.19.3 and aave-v3-origin fd1fbd91.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from keeper.chain.abi import checksum, word
from keeper.domain.figures import ExpectedFigure, Figure, Figures
from keeper.domain.reads import Log
from keeper.domain.units import RAY, Address
from keeper.protocols.aave_v3.events import BURN, LIQUIDATION, MINT, RESERVE_UPDATED, UPGRADED
from keeper.protocols.aave_v3.model import PoolState, Structure

LAST_UPDATE: Final = "last update"
INDICES: Final = ("liquidity index", "variable borrow index")
RATES: Final = ("liquidity rate", "variable borrow rate")
SCALED_SUPPLY: Final = "scaled total supply of the aToken"
SCALED_DEBT: Final = "scaled total supply of the variable debt token"
MINT_SLACK: Final = 2
"""Scaled units by which a ``Mint`` or ``Burn`` may be off: its amounts are rounded token units."""

_STATED: Final = {RATES[0]: 0, RATES[1]: 2, INDICES[0]: 3, INDICES[1]: 4}
"""The words of ``ReserveDataUpdated``; word 1 is the stable rate."""
_UPDATE_BYTES: Final = 5 * 32
_SCALED_BYTES: Final = 3 * 32
_RECEIVES_WORD: Final = 3
_LIQUIDATION_BYTES: Final = 4 * 32


def figures(pool: PoolState) -> dict[Figure, int]:
    """Return the interest state and the totals of every reserve.

    The debt of GHO's first token is left out, since its discounts change the total without logs.
    """
    stated = dict[Figure, int]()
    for state in pool.reserves.values():
        token = state.reserve.token
        stated[Figure(LAST_UPDATE, token)] = state.last_update
        stated[Figure(INDICES[0], token)] = state.liquidity_index
        stated[Figure(INDICES[1], token)] = state.variable_index
        stated[Figure(RATES[0], token)] = state.liquidity_rate
        stated[Figure(RATES[1], token)] = state.variable_rate
        if state.scaled_supply is not None:
            stated[Figure(SCALED_SUPPLY, token)] = state.scaled_supply
        if state.scaled_debt is not None and not state.reserve.foreign_debt_token:
            stated[Figure(SCALED_DEBT, token)] = state.scaled_debt
    return stated


def expected_figures(
    structure: Structure, before: Figures, logs: Sequence[Log]
) -> dict[Figure, ExpectedFigure]:
    """Predict figures from those at a block and all logs since.

    Nothing is predicted across new code of a token or the pool, which may set any value.
    """
    if any(log.topics[:1] == (UPGRADED,) for log in logs):
        return {}
    expected = {figure: ExpectedFigure(value=value) for figure, value in before.items()}
    totals = _map_totals(structure)
    for log in logs:
        kind = log.topics[0] if log.topics and not log.removed else b""
        if kind == RESERVE_UPDATED:
            _apply_update(log, before, expected)
        elif kind == LIQUIDATION:
            _apply_liquidation(log, expected)
        elif kind in (MINT, BURN) and log.address in totals:
            _apply_change(log, totals[log.address], expected)
    return expected


def _map_totals(structure: Structure) -> Mapping[Address, Figure]:
    """Map each token to the total that its logs change."""
    supplies = {
        reserve.a_token: Figure(SCALED_SUPPLY, reserve.token) for reserve in structure.reserves
    }
    debts = {
        reserve.variable_token: Figure(SCALED_DEBT, reserve.token) for reserve in structure.reserves
    }
    return {**supplies, **debts}


def _apply_update(log: Log, before: Figures, expected: dict[Figure, ExpectedFigure]) -> None:
    if len(log.topics) < 2 or len(log.data) < _UPDATE_BYTES:  # noqa: PLR2004 - the reserve's topic
        return
    token = checksum(log.topics[1][-20:])
    expected.pop(Figure(LAST_UPDATE, token), None)
    for what, at in _STATED.items():
        if Figure(what, token) in before:
            expected[Figure(what, token)] = ExpectedFigure(value=word(log.data, at))


def _apply_liquidation(log: Log, expected: dict[Figure, ExpectedFigure]) -> None:
    """Drop the collateral's indices, which change with time and without a log."""
    takes_a_tokens = len(log.data) >= _LIQUIDATION_BYTES and word(log.data, _RECEIVES_WORD)
    if not takes_a_tokens or len(log.topics) < 2:  # noqa: PLR2004 - the collateral's topic
        return
    token = checksum(log.topics[1][-20:])
    for what in (LAST_UPDATE, *INDICES):
        expected.pop(Figure(what, token), None)


def _apply_change(log: Log, total: Figure, expected: dict[Figure, ExpectedFigure]) -> None:
    before = expected.get(total)
    if before is None or len(log.data) < _SCALED_BYTES:
        return
    value, increase, index = (word(log.data, at) for at in range(3))
    amount = value - increase if log.topics[0] == MINT else -(value + increase)
    expected[total] = ExpectedFigure(
        value=before.value + amount * RAY // max(1, index), slack=before.slack + MINT_SLACK
    )
