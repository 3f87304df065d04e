"""Predicts the contract's totals from its logs, exact to the unit.

Source: ``Morpho.sol`` and ``EventsLib``, morpho-blue 1.0.0.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from keeper.chain.abi import word
from keeper.domain.figures import ExpectedFigure, Figure, Figures
from keeper.domain.reads import Log
from keeper.domain.units import Address, TokenUnits
from keeper.protocols.morpho_blue import events
from keeper.protocols.morpho_blue.model import Irm, Market, MarketId, State

LAST_UPDATE: Final = "last update"
SUPPLY_ASSETS: Final = "total supply assets"
SUPPLY_SHARES: Final = "total supply shares"
BORROW_ASSETS: Final = "total borrow assets"
BORROW_SHARES: Final = "total borrow shares"
HELD: Final = "balance of the contract"
"""
A hint. Anybody can send a token to the contract, and some balances grow by themselves.
"""

_Totals = dict[str, int]
_QUIET: Final = frozenset({events.CREATE_MARKET, events.ACCRUE_INTEREST})
"""Logs of what moves no token."""


def figures(
    markets: Mapping[MarketId, Market],
    states: Mapping[MarketId, State],
    held: Mapping[Address, TokenUnits],
) -> dict[Figure, int]:
    """Return the totals of these markets, and the contract's balance of each token.

    The update time of a market without a rate model is left out, since it changes without a log.
    """
    stated = {Figure(HELD, token): int(balance) for token, balance in held.items()}
    for identity, state in states.items():
        stated[Figure(SUPPLY_ASSETS, identity)] = state.supply_assets
        stated[Figure(SUPPLY_SHARES, identity)] = state.supply_shares
        stated[Figure(BORROW_ASSETS, identity)] = state.borrow_assets
        stated[Figure(BORROW_SHARES, identity)] = state.borrow_shares
        if markets[identity].irm is not Irm.NONE:
            stated[Figure(LAST_UPDATE, identity)] = state.last_update
    return stated


def expected_figures(before: Figures, logs: Sequence[Log]) -> dict[Figure, ExpectedFigure]:
    """Predict figures from those at a block and all logs since."""
    values: dict[str, _Totals] = {}
    for figure, value in before.items():
        values.setdefault(figure.subject, {})[figure.what] = value
    moved = False
    for log in logs:
        if log.removed or not log.topics:
            continue
        kind = log.topics[0]
        moved = moved or kind not in _QUIET
        change = _CHANGES.get(kind)
        totals = values.get("0x" + log.topics[1].hex()) if len(log.topics) > 1 else None
        if change is not None and totals is not None:
            change(log.data, totals)
    return {
        figure: ExpectedFigure(
            value=values[figure.subject][figure.what], is_hint=figure.what == HELD
        )
        for figure in before
        if figure.what in values[figure.subject] and not (moved and figure.what == HELD)
    }


def _add(totals: _Totals, what: str, amount: int) -> None:
    if what in totals:
        totals[what] += amount


def _subtract_to_zero(totals: _Totals, what: str, amount: int) -> None:
    """Subtract down to zero as ``UtilsLib.zeroFloorSub``. A repayment may exceed by one unit."""
    if what in totals:
        totals[what] = max(0, totals[what] - amount)


def _accrue(data: bytes, totals: _Totals) -> None:
    interest, fee_shares = word(data, 1), word(data, 2)
    totals.pop(LAST_UPDATE, None)
    _add(totals, BORROW_ASSETS, interest)
    _add(totals, SUPPLY_ASSETS, interest)
    _add(totals, SUPPLY_SHARES, fee_shares)


def _supply(data: bytes, totals: _Totals) -> None:
    _add(totals, SUPPLY_ASSETS, word(data, 0))
    _add(totals, SUPPLY_SHARES, word(data, 1))


def _withdraw(data: bytes, totals: _Totals) -> None:
    _add(totals, SUPPLY_ASSETS, -word(data, 1))
    _add(totals, SUPPLY_SHARES, -word(data, 2))


def _borrow(data: bytes, totals: _Totals) -> None:
    _add(totals, BORROW_ASSETS, word(data, 1))
    _add(totals, BORROW_SHARES, word(data, 2))


def _repay(data: bytes, totals: _Totals) -> None:
    _subtract_to_zero(totals, BORROW_ASSETS, word(data, 0))
    _add(totals, BORROW_SHARES, -word(data, 1))


def _liquidate(data: bytes, totals: _Totals) -> None:
    repaid_assets, repaid_shares, _, bad_debt_assets, bad_debt_shares = (
        word(data, at) for at in range(5)
    )
    _subtract_to_zero(totals, BORROW_ASSETS, repaid_assets)
    _add(totals, BORROW_ASSETS, -bad_debt_assets)
    _add(totals, SUPPLY_ASSETS, -bad_debt_assets)
    _add(totals, BORROW_SHARES, -(repaid_shares + bad_debt_shares))


_CHANGES: Final[Mapping[bytes, Callable[[bytes, _Totals], None]]] = {
    events.ACCRUE_INTEREST: _accrue,
    events.SUPPLY: _supply,
    events.WITHDRAW: _withdraw,
    events.BORROW: _borrow,
    events.REPAY: _repay,
    events.LIQUIDATE: _liquidate,
}
