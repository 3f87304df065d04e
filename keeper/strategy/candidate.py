"""One unhealthy account with its market data and the prices to value it."""

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
    """Key of an account's option with pair, pools of the route, and funding."""

    spend_token: Address
    receive_token: Address
    pools: tuple[Address, ...]
    source: int
    lender: Address

    @classmethod
    def by(cls, plan: Plan) -> "Tried":
        """Build the key of a plan's option."""
        return cls(
            spend_token=plan.spend_token,
            receive_token=plan.receive_token,
            pools=plan.route.pools,
            source=plan.funding.source,
            lender=plan.funding.lender,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One liquidatable account with its opportunities and refusals.

    ``lenders`` are the flash lenders of any market by token, ``lender_refusals`` the reasons of
    lenders that do not lend it. The venues' lenders come with the exits. ``barred`` options are not
    used. Accounts of a lower ``rank`` come first. ``subsidy`` is the accepted net cost of its
    liquidation.
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
    """Terms of a profit calculation with a market's prices, gas costs and the policy.

    ``subsidy`` is the accepted net cost of the liquidation.
    """

    valuation: Valuation
    costs: Costs
    policy: Policy
    gas_model: GasModel
    subsidy: Wei = _NO_SUBSIDY

    @classmethod
    def of(cls, candidate: Candidate, costs: Costs, policy: Policy, gas_model: GasModel) -> "Terms":
        """Build the terms of a candidate."""
        return cls(
            valuation=candidate.valuation,
            costs=costs,
            policy=policy,
            gas_model=gas_model,
            subsidy=candidate.subsidy,
        )

    @cached_property
    def min_profit(self) -> Wei:
        """Least net profit of a plan, rounded up to a wei. Negative with a subsidy."""
        if self.subsidy:
            return Wei(-self.subsidy)
        return self.valuation.wei_of_usd_ceil(self.policy.min_profit_usd_e8)

    def gas_cost(self, gas: Gas) -> Wei:
        """Compute the cost of ``gas``."""
        return Wei(gas * self.costs.gas_price)

    def worth(self, token: Address, profit: TokenUnits) -> Wei:
        """Compute a profit's value after the builder's share, rounded down. It may be negative."""
        gross = self.valuation.wei_floor(token, profit)
        share = mul_div_ceil(max(gross, 0), self.policy.builder_share(token), BPS)
        return Wei(gross - share)

    def net(self, token: Address, profit: TokenUnits, gas: Gas) -> Wei:
        """Compute a profit after the builder's share and the gas."""
        return Wei(self.worth(token, profit) - self.gas_cost(gas))

    def symbol(self, token: Address) -> str:
        """Return the token's symbol, or its address where the market does not price it."""
        quoted = self.valuation.prices.get(token)
        return str(token) if quoted is None else quoted.symbol


def dust(opportunity: Opportunity, terms: Terms) -> Skip | None:
    """Return why ``opportunity`` is not worth a quote. None if it may be.

    ``DUST`` if the whole bonus does not pay the gas of the cheapest possible plan,
    ``BELOW_MIN_PROFIT`` if it does but earns less than the minimum. The stated net profit is an
    upper bound at the market's own prices.
    """
    net = _compute_net_bound(opportunity, terms)
    if net >= terms.min_profit:
        return None
    bonus = bonus_wei(opportunity.bonus_at_most, terms.valuation)
    pair = f"{terms.symbol(opportunity.receive_token)} for {terms.symbol(opportunity.spend_token)}"
    return _build_dust_skip(opportunity, pair, bonus, net, terms)


def too_small(
    health: AccountHealth, bonus_at_most: BaseCurrency, gas: Gas, terms: Terms
) -> Skip | None:
    """Return why an account's pairs are not worth checking. None if they may be.

    Same as ``dust``, applied to the bonus of the whole debt and the least gas.
    """
    bonus = bonus_wei(bonus_at_most, terms.valuation)
    net = Wei(bonus - terms.gas_cost(terms.gas_model.least(gas)))
    if net >= terms.min_profit:
        return None
    return _build_dust_skip(health, "all it owes", bonus, net, terms)


def _build_dust_skip(
    whose: Opportunity | AccountHealth, what: str, bonus: Wei, net: Wei, terms: Terms
) -> Skip:
    """Build the skip for a net profit below the minimum."""
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
    """Select the opportunities that are worth a quote, so that only their pairs are fetched.

    An account without any needs no venue, and ``sequenced`` gives its reason.
    """
    terms = Terms.of(candidate, costs, policy, gas_model)
    return tuple(
        one for one in candidate.opportunities if _compute_net_bound(one, terms) >= terms.min_profit
    )


def _compute_net_bound(opportunity: Opportunity, terms: Terms) -> Wei:
    """Compute the highest net profit of an opportunity at the market's own prices."""
    bonus = bonus_wei(opportunity.bonus_at_most, terms.valuation)
    return Wei(bonus - terms.gas_cost(terms.gas_model.at_least(opportunity)))


def bonus_wei(bonus: BaseCurrency, valuation: Valuation) -> Wei:
    """Convert ``bonus`` from base currency to wei, rounded up."""
    return Wei(mul_div_ceil(bonus, WAD, valuation.native_price))
