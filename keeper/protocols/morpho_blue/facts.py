"""Facts about a market for the operator. Terms, prices and problems."""

from collections.abc import Sequence

from keeper.domain.facts import Fact
from keeper.domain.oracle import Reading
from keeper.domain.units import WAD, BaseCurrency, mul_div_floor
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.model import Irm, Market, OraclePrice, State


def facts(market: Market, state: State, trouble: str) -> Sequence[Fact]:
    """Return the market's terms, and the reason if it cannot be valued."""
    params, permille = market.params, market.params.lltv * 1_000 // WAD
    model = "no interest" if market.irm is Irm.NONE else f"rate model {params.irm}"
    fee = f"fee {state.fee * 1_000 // WAD} per mille"
    text = f"{market.name}: LLTV {permille} per mille, oracle {params.oracle}, {model}, {fee}"
    return (Fact(text=text, concern=trouble),)


def readings(market: Market, price: OraclePrice | None, usd: BaseCurrency) -> Sequence[Reading]:
    """Return the oracle's price of the collateral, and ``usd``, the loan token's.

    The oracle does not state the age of its answer.
    """
    loan, collateral, oracle = market.loan, market.collateral, market.params.oracle
    scale = rules.ORACLE_PRICE_SCALE * 10**loan.decimals
    worth = None if price is None else mul_div_floor(10**collateral.decimals * price, usd, scale)
    return (
        Reading(token=collateral.address, symbol=collateral.symbol, price=worth, feed=oracle),
        Reading(token=loan.address, symbol=loan.symbol, price=usd, feed=oracle),
    )


def trouble(market: Market, price: OraclePrice | None) -> str:
    """Return why no account of the market can be valued. Empty if all can."""
    if market.irm is Irm.UNKNOWN:
        return f"the rate model {market.params.irm} is not one this keeper knows"
    if price is None:
        return f"the oracle {market.params.oracle} fails"
    if price == 0:
        return f"the oracle {market.params.oracle} says zero"
    return ""


def unpriced(market: Market) -> str:
    """Return the remedy for a loan token without a price."""
    loan = market.loan
    return f"{market.name}: {loan.symbol} has no dollar price: set usd_feeds for {loan.address}"
