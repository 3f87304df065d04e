"""Exact profit of one amount of one option on given curves."""

from collections.abc import Mapping
from dataclasses import dataclass

from keeper.domain.curve import ExitCurve, Route, bought_along, sold_along
from keeper.domain.decision import SkipReason
from keeper.domain.opportunity import FlashLender, Opportunity, Outcome
from keeper.domain.units import Address, Gas, TokenUnits, Wei
from keeper.strategy.candidate import Terms
from keeper.strategy.remaining import Remaining


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """Reason why an option is not sent. ``net_profit`` is set if a profit could be computed."""

    reason: SkipReason
    detail: str
    net_profit: Wei | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Funded:
    """Pair and route with their funding, a lender or (None) a flash swap of the last pool."""

    opportunity: Opportunity
    route: Route
    lender: FlashLender | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proceeds:
    """Proceeds of a sale in the spend token, before the spent amount is subtracted.

    ``amount`` is after the funding's fee. ``paid_out`` has the amounts out of each of the route's
    pools, in the route's order, ``ticks`` the ticks crossed in all swaps.
    """

    amount: int
    fee: TokenUnits
    paid_out: tuple[TokenUnits, ...]
    ticks: int
    after: Mapping[Address, ExitCurve]


@dataclass(frozen=True, slots=True, kw_only=True)
class Priced:
    """Outcome with its expected profit, in the spend token and net in wei.

    ``gas`` is the expected gas, ``gas_at_most`` the basis of the step's limit.
    """

    outcome: Outcome
    proceeds: Proceeds
    profit: TokenUnits
    gas: Gas
    gas_at_most: Gas
    net: Wei


def priced(funded: Funded, outcome: Outcome, remaining: Remaining, terms: Terms) -> Priced | Miss:
    """Compute the profit of ``outcome`` at its earliest inclusion, or why it is impossible."""
    short = _find_shortage(funded, outcome, remaining, terms)
    if short is not None:
        return short
    found = proceeds(funded, outcome.receive, outcome.spend_at_most, remaining)
    if found is None:
        return Miss(
            reason=SkipReason.EXIT_TOO_SHALLOW,
            detail=f"the pools do not take {outcome.receive} units of"
            f" {terms.symbol(funded.opportunity.receive_token)}",
        )
    profit = TokenUnits(found.amount - outcome.spend)
    opportunity, model = funded.opportunity, terms.gas_model
    most = model.most(opportunity, funded.lender, len(funded.route.hops), found.ticks)
    gas = model.expected(most)
    return Priced(
        outcome=outcome,
        proceeds=found,
        profit=profit,
        gas=gas,
        gas_at_most=most,
        net=terms.net(opportunity.spend_token, profit, gas),
    )


def worst_profit(funded: Funded, found: Priced, remaining: Remaining) -> TokenUnits | None:
    """Compute the least profit of any inclusion in the window. None if funding may fail.

    It combines the highest spending with the lowest receipts, and is never above the profit at any
    single timestamp of the window.
    """
    outcome = found.outcome
    if (outcome.spend, outcome.receive) == (outcome.spend_at_most, outcome.receive_at_least):
        return found.profit
    worst = proceeds(funded, outcome.receive_at_least, outcome.spend_at_most, remaining)
    return None if worst is None else TokenUnits(worst.amount - outcome.spend_at_most)


def proceeds(
    funded: Funded, receive: TokenUnits, borrowed: TokenUnits, remaining: Remaining
) -> Proceeds | None:
    """Compute the proceeds of selling ``receive`` after borrowing ``borrowed``.

    A flash loan is repaid with its fee after the sale. A flash swap buys ``borrowed`` from the
    route's last pool, is paid with part of ``receive``, and the remainder is sold on the curves
    after the purchase, without a fee beyond the pools'. None if the depth does not suffice.
    """
    if funded.lender is None:
        return _compute_flash_swap(funded.route, receive, borrowed, remaining)
    sale = sold_along(funded.route, receive, remaining.curves)
    if sale is None:
        return None
    fee = funded.lender.fee(borrowed)
    return Proceeds(
        amount=sale.amount_out - fee,
        fee=fee,
        paid_out=sale.paid_out,
        ticks=sale.ticks_crossed,
        after=sale.after,
    )


def _compute_flash_swap(
    route: Route, receive: TokenUnits, borrowed: TokenUnits, remaining: Remaining
) -> Proceeds | None:
    purchase = bought_along(route, borrowed, remaining.curves)
    if purchase is None or purchase.amount_in > receive:
        return None
    rest = TokenUnits(receive - purchase.amount_in)
    if rest == 0:
        return Proceeds(
            amount=borrowed,
            fee=TokenUnits(0),
            paid_out=purchase.paid_out,
            ticks=purchase.ticks_crossed,
            after=purchase.after,
        )
    sale = sold_along(route, rest, purchase.after)
    if sale is None:
        return None
    pairs = zip(purchase.paid_out, sale.paid_out, strict=True)
    return Proceeds(
        amount=borrowed + sale.amount_out,
        fee=TokenUnits(0),
        paid_out=tuple(TokenUnits(bought + sold) for bought, sold in pairs),
        ticks=purchase.ticks_crossed + sale.ticks_crossed,
        after=sale.after,
    )


def _find_shortage(
    funded: Funded, outcome: Outcome, remaining: Remaining, terms: Terms
) -> Miss | None:
    """Return which holder lacks tokens to lend or to pay out. None if none does.

    The repayment does not count for its own payout, since a protocol may pay out first. A loan from
    the same holder is missing there meanwhile.
    """
    lender = funded.lender
    lent = outcome.spend_at_most
    if lender is not None and lent > remaining.lendable(lender):
        return Miss(
            reason=SkipReason.NO_FUNDING,
            detail=f"{lender.kind} of {lender.lender} lends"
            f" {max(0, remaining.lendable(lender))} of {lent} units of"
            f" {terms.symbol(lender.token)}",
        )
    for key, drawn in outcome.drawn:
        payable = remaining.payable(key)
        borrowed = lent if lender is not None and lender.liquidity == key else 0
        if payable is not None and drawn + borrowed > payable:
            return Miss(
                reason=SkipReason.RESERVE_ILLIQUID,
                detail=f"{key.holder} holds {payable} of {drawn + borrowed} units of"
                f" {terms.symbol(key.token)}",
            )
    return None
