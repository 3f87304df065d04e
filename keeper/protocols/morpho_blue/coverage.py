"""The contract's own totals of borrow shares, with the sums over the positions in the columns."""

from collections.abc import Mapping

from keeper.columns.table import Columns
from keeper.domain.coverage import DebtTotal
from keeper.domain.units import Address, BaseCurrency
from keeper.protocols.morpho_blue.accounts import Role
from keeper.protocols.morpho_blue.model import Market, State
from keeper.protocols.morpho_blue.rules import VIRTUAL_ASSETS, VIRTUAL_SHARES


def debt_total(
    market: Market,
    state: State,
    columns: Columns | None,
    usd: Mapping[Address, BaseCurrency],
) -> DebtTotal:
    """Return a market's total of borrow shares, and the book's sum.

    Equal to the unit: the total is the sum of the positions' shares. The virtual shares of
    ``SharesMathLib`` are in neither, and bad debt is subtracted from both. Source: ``Morpho.sol``
    of morpho-blue 1.0.0 (``borrow``, ``repay``, ``liquidate``).
    """
    known = 0
    if columns is not None:
        codes = enumerate(columns.codes.keys)
        known = sum(columns.sums.balance_sum(code) for code, key in codes if key[2] == Role.DEBT)
    price = usd.get(market.loan.address)
    return DebtTotal(
        market=market.key,
        token=market.loan.address,
        symbol=market.loan.symbol,
        decimals=market.loan.decimals,
        stated=state.borrow_shares,
        known=known,
        token_units=(state.borrow_assets + VIRTUAL_ASSETS, state.borrow_shares + VIRTUAL_SHARES),
        usd_e8=None if price is None else (price, 10**market.loan.decimals),
    )
