"""One account of the sequence with its options, their results, and the plan of one."""

from dataclasses import replace
from typing import Final

from keeper.domain.decision import Decision, SkipReason
from keeper.domain.exits import Exits
from keeper.domain.opportunity import Continues, FlashLender
from keeper.domain.plan import Funding, FundingKind, Plan
from keeper.domain.units import TokenUnits, Wei
from keeper.strategy.candidate import Candidate, Terms
from keeper.strategy.policy import Policy
from keeper.strategy.pricing import Miss
from keeper.strategy.reasons import skipped
from keeper.strategy.remaining import Remaining
from keeper.strategy.sizing import Sized, Way, ceiling, missed_at_spot, sized
from keeper.strategy.ways import described, ways_of

_ALTERNATIVES: Final = 3


class Contender:
    """One account of the round with its options and their last results."""

    def __init__(self, candidate: Candidate, exits: Exits, terms: Terms) -> None:
        self.candidate = candidate
        self.exits = exits
        self.key = (candidate.account, candidate.market)
        self.terms = terms
        found = ways_of(candidate, exits, terms)
        self.ways = found.ways
        self._refused = found.misses
        self.results: dict[int, Sized | Miss] = {}
        self.seen: dict[int, int] = {}
        self.ceilings: dict[int, Wei] = {}

    def ceiling(self, number: int, remaining: Remaining, turn: int) -> Wei | None:
        """Compute and store the highest net profit of an option. None if unknown."""
        found = ceiling(self.ways[number], remaining, self.terms)
        self.seen[number] = turn
        if found is None or found >= self.terms.min_profit:
            if found is not None:
                self.ceilings[number] = found
            return found
        missed = missed_at_spot(self.ways[number], found, self.terms)
        before = self.ceilings.get(number)
        self.results[number] = missed if before is None else _mark_shallow(missed, before)
        return found

    def size(self, number: int, remaining: Remaining, turn: int, rounds: int) -> Sized | Miss:
        """Size one option on the remaining depth. It lacks depth if it paid at the first prices."""
        result = sized(self.ways[number], remaining, self.terms, rounds)
        if isinstance(result, Miss) and number in self.ceilings:
            result = _mark_shallow(result, self.ceilings[number])
        self.results[number] = result
        self.seen[number] = turn
        return result

    def alternatives(self, chosen: int) -> tuple[str, ...]:
        """Describe the best of the other options with their net profits."""
        found: list[tuple[Wei, str]] = []
        for other, way in enumerate(self.ways):
            result = self.results.get(other)
            net = self.ceilings.get(other) if result is None else _get_net(result)
            if other != chosen and net is not None:
                at_most = " at most" if result is None else ""
                lender = (
                    result.funded.lender if isinstance(result, Sized) else _get_first_lender(way)
                )
                text = described(way, lender, self.terms)
                found.append((net, f"{text}: {net} wei{at_most}"))
        best = sorted(found, key=lambda one: (-one[0], one[1]))
        return tuple(text for _, text in best[:_ALTERNATIVES])

    def skip(self) -> Decision:
        """Build the skip. Options that pay but lack depth come before the others."""
        numbers = self.ceilings or self.results
        results = [self.results[number] for number in numbers]
        misses = [result for result in results if isinstance(result, Miss)]
        return skipped(self.candidate, misses, self._refused)


def follow_up(contender: Contender, chosen: Sized) -> Contender | None:
    """Build the account's next round after the chosen plan. None if there is none.

    It has to pay by itself, whatever the account's subsidy, and most of its slots are warm.
    """
    opportunity, candidate = chosen.way.opportunity, contender.candidate
    if candidate.rounds <= 1 or not isinstance(opportunity, Continues):
        return None
    after = opportunity.after(chosen.priced.outcome.amount)
    if after is None or not after.opportunities:
        return None
    following = replace(
        candidate,
        health_factor=after.health_factor,
        opportunities=after.opportunities,
        refusals=(),
        rounds=candidate.rounds - 1,
        subsidy=Wei(0),
    )
    terms, model = contender.terms, contender.terms.gas_model
    warm = replace(model, expected_bps=min(model.expected_bps, model.further_bps))
    return Contender(
        following, contender.exits, Terms.of(following, terms.costs, terms.policy, warm)
    )


def build_plan(contender: Contender, number: int, chosen: Sized) -> Plan:
    """Build the plan of a sized option of an account."""
    candidate, terms = contender.candidate, contender.terms
    opportunity, found = chosen.way.opportunity, chosen.priced
    step = opportunity.step(found.outcome.amount)
    return Plan(
        market=candidate.market,
        account=candidate.account,
        spend_token=opportunity.spend_token,
        receive_token=opportunity.receive_token,
        amount=found.outcome.amount,
        spend=found.outcome.spend,
        receive=found.outcome.receive,
        route=chosen.way.route,
        funding=_build_funding(chosen, terms.policy),
        module=step.module,
        step_data=step.data,
        gross_profit=found.profit,
        gross_profit_wei=terms.valuation.wei_floor(opportunity.spend_token, found.profit),
        gas=found.gas,
        gas_price=terms.costs.gas_price,
        net_profit=found.net,
        min_profit=chosen.min_profit,
        sure_profit=chosen.sure_profit,
        bad_debt=found.outcome.bad_debt,
        native_usd_e8=terms.valuation.native_usd_e8,
        step_gas=terms.gas_model.step_limit(found.gas_at_most, terms.policy),
        health_factor=candidate.health_factor,
        deadline=candidate.deadline,
        alternatives=contender.alternatives(number),
        subsidy=terms.subsidy,
    )


def _build_funding(chosen: Sized, policy: Policy) -> Funding:
    lender, outcome = chosen.funded.lender, chosen.priced.outcome
    if lender is not None:
        own = lender in chosen.way.opportunity.own_funding
        return Funding(
            kind=FundingKind.CALLBACK if own else FundingKind.FLASH_LOAN,
            source=lender.source,
            name=lender.kind,
            lender=lender.lender,
            amount=outcome.spend_at_most,
            fee=chosen.priced.proceeds.fee,
        )
    route = chosen.way.route
    return Funding(
        kind=FundingKind.FLASH_SWAP,
        source=policy.flash_swap_sources[route.venue],
        name=f"{route.venue}_flash_swap",
        lender=route.pools[-1],
        amount=outcome.spend_at_most,
        fee=TokenUnits(0),
    )


def _mark_shallow(now: Miss, before: Wei) -> Miss:
    """Return the refusal of an option that would pay at the first prices, as lack of depth."""
    detail = f"{now.detail}; {before} wei at the first prices"
    shallow = now.reason in (SkipReason.BELOW_MIN_PROFIT, SkipReason.EXIT_TOO_SHALLOW)
    reason = SkipReason.EXIT_TOO_SHALLOW if shallow else now.reason
    return Miss(reason=reason, detail=detail, net_profit=now.net_profit)


def _get_net(result: Sized | Miss) -> Wei | None:
    return result.net if isinstance(result, Sized) else result.net_profit


def _get_first_lender(way: Way) -> FlashLender | None:
    return way.lenders[0] if way.lenders else None
