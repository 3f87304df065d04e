"""Builds the vault's clearing of a market's debtor."""

from keeper.domain.cure import ClearStep
from keeper.domain.units import Address, BaseCurrency
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.calls import clear_step
from keeper.protocols.morpho_blue.model import Market, OraclePrice, Position, State


def cleared(
    morpho: Address,
    market: Market,
    borrower: tuple[Address, Position],
    now: State,
    prices: tuple[OraclePrice | None, BaseCurrency | None],
) -> ClearStep | None:
    """Return the clearing of a debtor. None without the oracle's and the loan's dollar price.

    It seizes all collateral if the debt covers that, else it repays the whole debt. Interest only
    makes the first more likely. ``now`` is accrued.
    """
    price, loan_price = prices
    account, position = borrower
    if not price or not loan_price:
        return None
    seized, factor = position.collateral, rules.incentive(market.params.lltv)
    covered = rules.by_collateral(seized, position, now, price, factor) is not None
    return clear_step(
        morpho,
        market.params,
        account,
        seized=seized if covered else 0,
        repaid_shares=0 if covered else position.borrow_shares,
        usd_per_loan=(loan_price, 10**market.loan.decimals),
    )
