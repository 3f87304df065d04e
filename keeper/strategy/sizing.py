"""Most profitable amount of one option, by an integer search over exact outcomes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.curve import Route, sold_along
from keeper.domain.decision import SkipReason
from keeper.domain.opportunity import FlashLender, Opportunity, Outcome, Refusal
from keeper.domain.units import (
    BPS,
    PIPS,
    UINT256_MAX,
    Gas,
    TokenUnits,
    Wei,
    mul_div_ceil,
    mul_div_floor,
)
from keeper.strategy.candidate import Terms
from keeper.strategy.pricing import Funded, Miss, Priced, priced, worst_profit
from keeper.strategy.remaining import Depth, Remaining

EVERYTHING: Final = TokenUnits(UINT256_MAX)
COARSE: Final = 6
"""Search rounds for ranking. The amount is within a tenth, the profit much closer."""
FINE: Final = 26
"""Search rounds for sending. The amount is within a few millionths."""
_HALVINGS: Final = 16
_GOLDEN: Final = (6_180_339_887, 10_000_000_000)
_SPOT: Final = 1 << 20
_LEAST_SAMPLE: Final = 10_000
_ENOUGH_UNITS: Final = 1 << 15
"""Least proceeds of a sample sale, in units of the spend token, to limit rounding errors."""
_LARGEST_SAMPLE: Final = 1 << 6

_Quote = Callable[[TokenUnits], Priced | Miss]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Execution option to be sized, a pair with one route and one kind of funding.

    ``lenders`` are the spend token's lenders with pools that are not on the route. None means a
    flash swap. ``outcomes`` caches the pair's answers and is shared by all its options.
    """

    opportunity: Opportunity
    route: Route
    lenders: tuple[FlashLender, ...] | None
    outcomes: dict[TokenUnits, Outcome | Refusal] = field(default_factory=dict, compare=False)

    def outcome(self, amount: TokenUnits) -> Outcome | Refusal:
        """Return the pair's amounts for ``amount``, computed once."""
        known = self.outcomes.get(amount)
        if known is None:
            known = self.outcomes[amount] = self.opportunity.outcome(amount)
        return known


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """Option with its best amount, worth sending.

    ``min_profit`` is the profit that the executor enforces in the simulation, in the spend token.
    It covers the gas and the policy's minimum, but is at most ``sure_profit``, the worst case less
    the builder's share. A sent transaction enforces more (see ``settled``).
    """

    way: Way
    funded: Funded
    priced: Priced
    min_profit: TokenUnits
    sure_profit: TokenUnits

    @property
    def net(self) -> Wei:
        """The expected net profit."""
        return self.priced.net

    @property
    def uses(self) -> frozenset[Depth]:
        """Pools and holders with the depth that the figures depend on."""
        lender = self.funded.lender
        outcome = self.priced.outcome
        held = [key for key, _ in (*outcome.drawn, *outcome.repaid)]
        lent = [] if lender is None else [lender.liquidity]
        return frozenset[Depth]((*self.way.route.pools, *held, *lent))


def sized(way: Way, remaining: Remaining, terms: Terms, rounds: int = COARSE) -> Sized | Miss:
    """Size an option by the amount with the highest expected net profit.

    The profit is concave in the amount, since pool prices only get worse. The ends are tried first,
    and a golden-section search runs only if the best amount lies between them. The option is
    refused if the expectation is below the policy's minimum, or if the window's worst case does not
    pay the gas.
    """
    reference = _compute_largest(way)
    if isinstance(reference, Refusal):
        return Miss(reason=reference.reason, detail=reference.detail)
    lender = (
        None if way.lenders is None else _choose_lender(way.lenders, reference, remaining, terms)
    )
    funded = Funded(opportunity=way.opportunity, route=way.route, lender=lender)

    def quote(amount: TokenUnits) -> Priced | Miss:
        answer = way.outcome(amount)
        if isinstance(answer, Refusal):
            return Miss(reason=answer.reason, detail=answer.detail)
        return priced(funded, answer, remaining, terms)

    best = _find_best(quote, _compute_partial_range(way.opportunity, lender, remaining), rounds)
    if isinstance(best, Miss):
        return best
    return _accept_amount(way, funded, best, remaining, terms) or _build_refusal(
        way, funded, best, remaining, terms
    )


def ceiling(way: Way, remaining: Remaining, terms: Terms) -> Wei | None:
    """Compute an upper bound of the net profit of ``way``, the whole amount at first prices.

    Pool prices only get worse, so a sample's price bounds the whole sale's. None if there is
    nothing to sell or no sample sells, so that only sizing can decide.
    """
    gas = terms.gas_model.at_least(way.opportunity)
    return _compute_spot_net(way, way.lenders or (), gas, remaining, terms)


def missed_at_spot(way: Way, spot: Wei, terms: Terms) -> Miss:
    """Build the refusal of an option with a ceiling ``spot`` below the minimum.

    The exit is too shallow if the market's own prices would pay, since the pools then lack depth at
    a paying price, due to our own or other parties' sales.
    """
    detail = f"nets {spot} wei at most, at the pools' first prices"
    fair = _compute_market_net(way, terms)
    if fair is None or fair < terms.min_profit:
        return Miss(reason=SkipReason.BELOW_MIN_PROFIT, detail=detail, net_profit=spot)
    detail = f"{detail}; {fair} wei at the market's prices"
    return Miss(reason=SkipReason.EXIT_TOO_SHALLOW, detail=detail, net_profit=spot)


def _accept_amount(
    way: Way, funded: Funded, best: Priced, remaining: Remaining, terms: Terms
) -> Sized | None:
    if best.net < terms.min_profit or not _is_within_gas(best.gas_at_most, terms):
        return None
    worst = worst_profit(funded, best, remaining)
    if worst is None or worst <= 0:
        return None
    token = way.opportunity.spend_token
    if terms.net(token, worst, best.gas) < min(0, terms.min_profit):
        return None
    # The executor's minimum is what the receiver gets: the builder's share is gone by then.
    kept = TokenUnits(mul_div_floor(worst, BPS - terms.policy.builder_share(token), BPS))
    wanted = Wei(max(0, terms.gas_cost(best.gas) + terms.min_profit))
    return Sized(
        way=way,
        funded=funded,
        priced=best,
        min_profit=TokenUnits(min(terms.valuation.units_ceil(token, wanted), kept)),
        sure_profit=kept,
    )


def _is_within_gas(gas_at_most: Gas, terms: Terms) -> bool:
    model = terms.gas_model
    limit = model.batch_limit([model.step_limit(gas_at_most, terms.policy)])
    return model.fits(limit, terms.policy, terms.costs)


def _build_refusal(
    way: Way, funded: Funded, best: Priced, remaining: Remaining, terms: Terms
) -> Miss:
    """Build the refusal of the best amount, for its gas limit, depth or profit."""
    if not _is_within_gas(best.gas_at_most, terms):
        return Miss(
            reason=SkipReason.GAS_TOO_EXPENSIVE,
            detail=f"takes {best.gas_at_most} gas, more than one transaction may carry",
            net_profit=best.net,
        )
    if best.net >= terms.min_profit:
        return Miss(
            reason=SkipReason.BELOW_MIN_PROFIT,
            detail=f"nets {best.net} wei now, but at the deadline it may not pay its gas",
            net_profit=best.net,
        )
    symbol = terms.symbol(funded.opportunity.spend_token)
    figures = (
        f"at best {best.profit} units of {symbol} before gas of"
        f" {terms.gas_cost(best.gas)} wei, net {best.net} wei of {terms.min_profit} wei at least"
    )
    lenders = () if funded.lender is None else (funded.lender,)
    spot = _compute_spot_net(way, lenders, best.gas, remaining, terms)
    bounds = (spot, _compute_market_net(way, terms))
    shallow = any(bound is not None and bound >= terms.min_profit for bound in bounds)
    reason = SkipReason.EXIT_TOO_SHALLOW if shallow else SkipReason.BELOW_MIN_PROFIT
    return Miss(reason=reason, detail=figures, net_profit=best.net)


def _compute_spot_net(
    way: Way, lenders: tuple[FlashLender, ...], gas: Gas, remaining: Remaining, terms: Terms
) -> Wei | None:
    """Compute the whole amount's net profit at the price of a small sample."""
    reference = _compute_largest(way)
    if isinstance(reference, Refusal) or not way.route.hops:
        return None
    receive = reference.receive
    coarse = min(receive * _ENOUGH_UNITS // max(1, reference.spend), receive // _LARGEST_SAMPLE)
    sample = TokenUnits(min(receive, max(receive // _SPOT, coarse, _LEAST_SAMPLE)))
    sale = sold_along(way.route, sample, remaining.curves)
    if sale is None:
        return None
    fee = min((lender.fee(reference.spend_at_most) for lender in lenders), default=0)
    # One unit less in and two more out make good what the pools rounded away.
    received = mul_div_ceil(sale.amount_out + 2, receive, max(1, sample - 1))
    profit = TokenUnits(received - reference.spend - fee)
    return terms.net(way.opportunity.spend_token, profit, gas)


def _compute_market_net(way: Way, terms: Terms) -> Wei | None:
    """Compute the whole amount's net profit at market prices less the pools' fees."""
    reference, opportunity = _compute_largest(way), way.opportunity
    if isinstance(reference, Refusal) or opportunity.receive_token not in terms.valuation.prices:
        return None
    received: int = reference.receive
    for hop in way.route.hops:
        received = mul_div_floor(received, PIPS - hop.fee, PIPS)
    value = terms.valuation.wei_floor(opportunity.receive_token, TokenUnits(received))
    sold = terms.valuation.units_ceil(opportunity.spend_token, value)
    profit = TokenUnits(sold - reference.spend)
    return terms.net(opportunity.spend_token, profit, terms.gas_model.at_least(opportunity))


def _compute_largest(way: Way) -> Outcome | Refusal:
    """Compute the largest amount's outcome."""
    answer = way.outcome(EVERYTHING)
    partial = way.opportunity.partial
    if isinstance(answer, Refusal) and partial is not None:
        return way.outcome(partial[1])
    return answer


def _choose_lender(
    lenders: tuple[FlashLender, ...], reference: Outcome, remaining: Remaining, terms: Terms
) -> FlashLender:
    """Choose the cheapest lender of the largest amount, else the one that lends the most."""
    needed = reference.spend_at_most

    def cost(lender: FlashLender) -> tuple[int, int, str]:
        lack = max(0, needed - remaining.lendable(lender))
        fee = terms.valuation.wei_floor(lender.token, lender.fee(needed))
        return lack, fee + terms.gas_cost(lender.gas), lender.lender

    return min(lenders, key=cost)


def _compute_partial_range(
    opportunity: Opportunity, lender: FlashLender | None, remaining: Remaining
) -> tuple[TokenUnits, TokenUnits] | None:
    """Compute the range of partial amounts, at most what the lender lends."""
    if opportunity.partial is None:
        return None
    low, high = opportunity.partial
    if lender is not None:
        high = TokenUnits(min(high, remaining.lendable(lender)))
    return (low, high) if low <= high else None


def _find_best(
    quote: _Quote, partial: tuple[TokenUnits, TokenUnits] | None, rounds: int
) -> Priced | Miss:
    full = quote(EVERYTHING)
    if partial is None:
        return full
    top = quote(partial[1])
    if isinstance(full, Priced) and _rank_value(full) > _rank_value(
        top
    ):  # equal: may be the same point
        return full
    return _choose_better(full, _find_peak(quote, partial, top, rounds))


def _find_peak(
    quote: _Quote, partial: tuple[TokenUnits, TokenUnits], top: Priced | Miss, rounds: int
) -> Priced | Miss:
    """Return the best partial amount, by halving until it gets worse and then by closing in."""
    low, high = partial
    floor = TokenUnits(max(low, high >> _HALVINGS))
    least = quote(floor)
    if not isinstance(least, Priced) or least.profit <= 0:
        return _choose_better(top, least)
    upper, amount, best = high, high, top
    while amount > floor:
        half = TokenUnits(max(floor, amount // 2))
        trial = quote(half)
        if _rank_value(trial) < _rank_value(best):
            return _search_bracket(quote, (half, upper), best, rounds)
        upper, amount, best = amount, half, trial
    return _search_bracket(quote, (floor, upper), best, rounds)


def _search_bracket(
    quote: _Quote, bracket: tuple[TokenUnits, TokenUnits], best: Priced | Miss, rounds: int
) -> Priced | Miss:
    low, high = bracket
    left, right = _compute_probes(low, high)
    at_left, at_right = quote(left), quote(right)
    for _ in range(rounds):
        best = _choose_better(_choose_better(best, at_left), at_right)
        if _rank_value(at_left) >= _rank_value(at_right):
            high, right, at_right = right, left, at_left
            left = _compute_probes(low, high)[0]
            at_left = quote(left)
        else:
            low, left, at_left = left, right, at_right
            right = _compute_probes(low, high)[1]
            at_right = quote(right)
    return _choose_better(_choose_better(best, at_left), at_right)


def _compute_probes(low: TokenUnits, high: TokenUnits) -> tuple[TokenUnits, TokenUnits]:
    numerator, denominator = _GOLDEN
    step = (high - low) * numerator // denominator
    return TokenUnits(high - step), TokenUnits(low + step)


def _rank_value(result: Priced | Miss) -> tuple[bool, int]:
    """Return the search's objective. A refusal is worth less than any amount."""
    return (True, result.net) if isinstance(result, Priced) else (False, 0)


def _choose_better(one: Priced | Miss, other: Priced | Miss) -> Priced | Miss:
    return other if _rank_value(other) > _rank_value(one) else one
