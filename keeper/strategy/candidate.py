"""One unhealthy account with all that its market says, and the prices to judge it by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from keeper.domain.account import AccountHealth
from keeper.domain.decision import Skip, SkipReason
from keeper.domain.opportunity import FlashLender, Opportunity, Refusal
from keeper.domain.plan import Plan
from keeper.domain.units import (
    BPS,
    WAD,
    Address,
    BaseCurrency,
    Gas,
    MarketKey,
    Timestamp,
    TokenUnits,
    Wad,
    Wei,
    mul_div_ceil,
)
from keeper.domain.value import Valuation
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Costs, Policy

_NO_SUBSIDY: Final = Wei(0)
_ANY_NUMBER: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One way of an account: its pair, the pools of its route, and who pays first."""

    spend_token: Address
    receive_token: Address
    pools: tuple[Address, ...]
    source: int
    lender: Address

    @classmethod
    def by(cls, plan: Plan) -> "Tried":
        """Return the way that a plan goes."""
        return cls(
            spend_token=plan.spend_token,
            receive_token=plan.receive_token,
            pools=plan.route.pools,
            source=plan.funding.source,
            lender=plan.funding.lender,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    One account past the line: what can be done with it, and why not the rest.

    ``lenders`` are the flash lenders of any market by token, ``lender_refusals``
    why others do not lend it. Lenders of the venues come with the exits. ``barred`` are
    ways that are not to be taken. Accounts of a lesser ``rank`` are taken first. ``subsidy``
    is what liquidating it may cost in the end, ``rounds`` how many of its rounds may be planned.
    """

    market: MarketKey
    account: Address
    health_factor: Wad
    deadline: Timestamp
    valuation: Valuation
    opportunities: Sequence[Opportunity]
    refusals: Sequence[Refusal] = ()
    lenders: Mapping[Address, Sequence[FlashLender]] = field(default_factory=dict)
    lender_refusals: Mapping[Address, Sequence[Refusal]] = field(default_factory=dict)
    barred: frozenset[Tried] = frozenset()
    rank: int = 0
    subsidy: Wei = _NO_SUBSIDY
    rounds: int = _ANY_NUMBER


@dataclass(frozen=True, kw_only=True)
class Terms:
    """
    What a profit is judged by: one market's prices, the cost of gas, the policy.

    ``subsidy`` is what the liquidation may cost in the end.
    """

    valuation: Valuation
    costs: Costs
    policy: Policy
    gas_model: GasModel
    subsidy: Wei = _NO_SUBSIDY

    @classmethod
    def of(cls, candidate: Candidate, costs: Costs, policy: Policy, gas_model: GasModel) -> "Terms":
        """Return what a candidate's profits are judged by."""
        return cls(
            valuation=candidate.valuation,
            costs=costs,
            policy=policy,
            gas_model=gas_model,
            subsidy=candidate.subsidy,
        )

    @cached_property
    def min_profit(self) -> Wei:
        """The least net profit of a plan, rounded up to a wei; negative where one may cost."""
        if self.subsidy:
            return Wei(-self.subsidy)
        return self.valuation.wei_of_usd_ceil(self.policy.min_profit_usd_e8)

    def gas_cost(self, gas: Gas) -> Wei:
        """Return what ``gas`` costs."""
        return Wei(gas * self.costs.gas_price)

    def worth(self, token: Address, profit: TokenUnits) -> Wei:
        """Return a profit's worth after the builder's share, rounded down; may be negative."""
        gross = self.valuation.wei_floor(token, profit)
        share = mul_div_ceil(max(gross, 0), self.policy.builder_share(token), BPS)
        return Wei(gross - share)

    def net(self, token: Address, profit: TokenUnits, gas: Gas) -> Wei:
        """Return what is left of a profit after the builder's share and the gas."""
        return Wei(self.worth(token, profit) - self.gas_cost(gas))

    def symbol(self, token: Address) -> str:
        """Return the token's symbol, or its address where the market does not price it."""
        quoted = self.valuation.prices.get(token)
        return str(token) if quoted is None else quoted.symbol


def dust(opportunity: Opportunity, terms: Terms) -> Skip | None:
    """
    Return why ``opportunity`` is not worth a quote; None if it may be.

    ``DUST`` where the whole bonus does not pay the gas of the cheapest plan there
    could be, ``BELOW_MIN_PROFIT`` where it pays that and less than the minimum on top.
    The net profit given is an upper bound at the market's own prices.
    """
    net = _net(opportunity, terms)
    if net >= terms.min_profit:
        return None
    bonus = bonus_wei(opportunity.bonus_at_most, terms.valuation)
    pair = f"{terms.symbol(opportunity.receive_token)} for {terms.symbol(opportunity.spend_token)}"
    return _worthless(opportunity, pair, bonus, net, terms)


def too_small(
    health: AccountHealth, bonus_at_most: BaseCurrency, gas: Gas, terms: Terms
) -> Skip | None:
    """
    Return why an account is not worth a look at its pairs; None if it may be.

    As ``dust`` says of each, where the bonus of all it owes does not pay the least gas.
    """
    bonus = bonus_wei(bonus_at_most, terms.valuation)
    net = Wei(bonus - terms.gas_cost(terms.gas_model.least(gas)))
    if net >= terms.min_profit:
        return None
    return _worthless(health, "all it owes", bonus, net, terms)


def _worthless(
    whose: Opportunity | AccountHealth, what: str, bonus: Wei, net: Wei, terms: Terms
) -> Skip:
    """Return what is said of a net profit that is below the minimum."""
    if net < 0:
        reason = SkipReason.DUST
        detail = f"{what}: bonus of {bonus} wei at most, gas of {bonus - net} wei at least"
    else:
        reason = SkipReason.BELOW_MIN_PROFIT
        detail = f"{what}: nets {net} wei at most, the minimum is {terms.min_profit} wei"
    return Skip(
        market=whose.market, account=whose.account, reason=reason, detail=detail, net_profit=net
    )


def quotable(
    candidate: Candidate, costs: Costs, policy: Policy, gas_model: GasModel
) -> tuple[Opportunity, ...]:
    """
    Return the opportunities that are worth a quote, so that only their pairs are asked for.

    An account without any needs no venue: ``sequenced`` says why for it.
    """
    terms = Terms.of(candidate, costs, policy, gas_model)
    return tuple(one for one in candidate.opportunities if _net(one, terms) >= terms.min_profit)


def _net(opportunity: Opportunity, terms: Terms) -> Wei:
    """Return what an opportunity nets at most, at the market's own prices."""
    bonus = bonus_wei(opportunity.bonus_at_most, terms.valuation)
    return Wei(bonus - terms.gas_cost(terms.gas_model.at_least(opportunity)))


def bonus_wei(bonus: BaseCurrency, valuation: Valuation) -> Wei:
    """Return what ``bonus`` in base currency is worth in wei, rounded up."""
    return Wei(mul_div_ceil(bonus, WAD, valuation.native_price))
