"""
The sequence: which liquidations, in which order, each on what the earlier ones leave.

Greedy by net profit, with lazy evaluation: every way of every account is queued by the
most that it can net, sized when it comes to the top, and sized again there if its
pools or holders were used since. An account is liquidated at most once per round. Where the
policy ranks accounts, those of a lesser rank are taken first, whatever they earn.

A plan that uses a pool makes all other ways through it stale. Sizing each of them again after
every plan would cost the square of their number, so a stale way that comes to the top is
first moved down by an estimate from the pool's new price, and one that was sized anew is
taken if nothing queued is worth ``NEAR_TIE_BPS`` more. Estimates only order: what is taken was
sized exactly on what the plans before it leave.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.decision import Decision, Liquidate, SkipReason
from keeper.domain.exits import Exits
from keeper.domain.opportunity import FlashLender, LiquidityKey, Outcome
from keeper.domain.pending import PendingSale
from keeper.domain.plan import Funding, FundingKind, Plan
from keeper.domain.units import BPS, Address, Bps, MarketKey, TokenUnits, Wei, mul_div_floor
from keeper.strategy.candidate import Candidate, Terms
from keeper.strategy.gas import GasModel
from keeper.strategy.pending import less_pending
from keeper.strategy.policy import Costs, Policy
from keeper.strategy.pricing import Miss
from keeper.strategy.reasons import skipped
from keeper.strategy.remaining import Depth, Remaining
from keeper.strategy.sizing import COARSE, FINE, Sized, Way, ceiling, missed_at_spot, sized
from keeper.strategy.spot import RouteKey, SpotPrices, estimate_net
from keeper.strategy.ways import described, ways_of

NEAR_TIE_BPS: Final = Bps(100)
"""How much more another way must be worth, in basis points, to be sized before one is taken."""
_ALTERNATIVES: Final = 3

_Key = tuple[Address, MarketKey, int]
"""One way of one account: the order in which equal profits are taken."""


def sequenced(
    candidates: Sequence[Candidate],
    exits: Exits,
    liquidity: Mapping[LiquidityKey, TokenUnits],
    *,
    costs: Costs,
    policy: Policy,
    gas_model: GasModel,
    pending: Sequence[PendingSale] = (),
) -> list[Decision]:
    """
    Return one decision per candidate: liquidations in execution order, then the skips.

    The liquidations are priced one after the other, each on the curves and the
    ``liquidity`` that the earlier ones leave, and before them what is ``pending``. Equal
    profits go by account, and the order of ``candidates`` changes nothing. Skips are ordered
    by account too.
    """
    start = less_pending(Remaining(curves=exits.curves, liquidity=liquidity), pending)
    return ranked(
        candidates, exits, start, costs=costs, policy=policy, gas_model=gas_model
    ).decisions


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Decisions, the plans first, and what remains before the first plan and after each."""

    decisions: list[Decision]
    remaining: list[Remaining]

    @property
    def plans(self) -> list[Plan]:
        """The plans in execution order."""
        return [one.plan for one in self.decisions if isinstance(one, Liquidate)]


def ranked(
    candidates: Sequence[Candidate],
    exits: Exits,
    start: Remaining,
    *,
    costs: Costs,
    policy: Policy,
    gas_model: GasModel,
) -> Ranked:
    """Do what ``sequenced`` does from what earlier plans left, and return what these leave."""
    ordered = sorted(candidates, key=lambda candidate: (candidate.account, candidate.market))
    contenders = [
        _Contender(candidate, exits, Terms.of(candidate, costs, policy, gas_model))
        for candidate in ordered
    ]
    sequence = _Sequence(contenders, start)
    plans = sequence.run()
    taken = {(plan.account, plan.market) for plan in plans}
    skips = [contender.skip() for contender in contenders if contender.key not in taken]
    return Ranked(
        decisions=[*(Liquidate(plan=plan) for plan in plans), *skips],
        remaining=sequence.remaining,
    )


class _Contender:
    """One account in the round: its ways, and what each was last found to earn."""

    def __init__(self, candidate: Candidate, exits: Exits, terms: Terms) -> None:
        self.candidate = candidate
        self.key = (candidate.account, candidate.market)
        self.terms = terms
        found = ways_of(candidate, exits, terms)
        self.ways = found.ways
        self._refused = found.misses
        self.results: dict[int, Sized | Miss] = {}
        self.seen: dict[int, int] = {}
        self.ceilings: dict[int, Wei] = {}

    def ceiling(self, number: int, remaining: Remaining, turn: int) -> Wei | None:
        """Return what one way nets at most, and remember that it might; None if unknown."""
        found = ceiling(self.ways[number], remaining, self.terms)
        self.seen[number] = turn
        if found is None or found >= self.terms.min_profit:
            if found is not None:
                self.ceilings[number] = found
            return found
        missed = missed_at_spot(self.ways[number], found, self.terms)
        before = self.ceilings.get(number)
        self.results[number] = missed if before is None else _outpaced(missed, before)
        return found

    def size(self, number: int, remaining: Remaining, turn: int, rounds: int) -> Sized | Miss:
        """Size one way on what remains; it lacks depth if it paid at the first prices."""
        result = sized(self.ways[number], remaining, self.terms, rounds)
        if isinstance(result, Miss) and number in self.ceilings:
            result = _outpaced(result, self.ceilings[number])
        self.results[number] = result
        self.seen[number] = turn
        return result

    def alternatives(self, chosen: int) -> tuple[str, ...]:
        """Return the best of the other ways, with what each would net, for people."""
        found: list[tuple[Wei, str]] = []
        for other, way in enumerate(self.ways):
            result = self.results.get(other)
            net = self.ceilings.get(other) if result is None else _net(result)
            if other != chosen and net is not None:
                at_most = " at most" if result is None else ""
                lender = result.funded.lender if isinstance(result, Sized) else _first(way)
                text = described(way, lender, self.terms)
                found.append((net, f"{text}: {net} wei{at_most}"))
        best = sorted(found, key=lambda one: (-one[0], one[1]))
        return tuple(text for _, text in best[:_ALTERNATIVES])

    def skip(self) -> Decision:
        """Return why nothing was sent; ways that pay but for depth come before the others."""
        numbers = self.ceilings or self.results
        results = [self.results[number] for number in numbers]
        misses = [result for result in results if isinstance(result, Miss)]
        return skipped(self.candidate, misses, self._refused)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A sized way in the queue: what it rests on, and its route's price when it was sized."""

    result: Sized
    uses: frozenset[Depth]
    route: RouteKey | None
    price: int | None


class _Sequence:
    """The greedy loop's state: what remains, and when each depth was last used."""

    def __init__(self, contenders: Sequence[_Contender], remaining: Remaining) -> None:
        self._open = {contender.key: contender for contender in contenders}
        self._remaining = remaining
        self.remaining = [remaining]
        self._turn = 0
        self._used: dict[Depth, int] = {}
        self._spot = SpotPrices()
        self._heap: list[tuple[int, int, _Key, int, _Offer | None]] = []
        self._plans: list[Plan] = []

    def run(self) -> list[Plan]:
        """Return the plans in execution order."""
        for contender in self._open.values():
            for number in range(len(contender.ways)):
                self._offer(contender, number)
        while self._heap:
            self._take()
            if not self._heap:
                self._retry()
        return self._plans

    def _offer(self, contender: _Contender, number: int) -> None:
        """Queue a way by the most it can net; it is sized when it comes to the top."""
        most = contender.ceiling(number, self._remaining, self._turn)
        if most is None:
            self._size(contender, number)
        elif most >= contender.terms.min_profit:
            self._push(contender, number, most, None)

    def _size(self, contender: _Contender, number: int) -> None:
        """Size a way on what remains and queue it by what it nets."""
        offer = self._offered(contender, number)
        if offer is not None:
            self._push(contender, number, offer.result.net, offer)

    def _offered(self, contender: _Contender, number: int) -> _Offer | None:
        """Return a way sized on what remains; None where it misses."""
        result = contender.size(number, self._remaining, self._turn, COARSE)
        if isinstance(result, Miss):
            return None
        route = self._spot.key(result)
        price = None if route is None else self._spot.price(route, self._remaining, self._used)
        return _Offer(result=result, uses=result.uses, route=route, price=price)

    def _push(self, contender: _Contender, number: int, net: Wei, offer: _Offer | None) -> None:
        key = (*contender.key, number)
        heapq.heappush(self._heap, (contender.candidate.rank, -net, key, self._turn, offer))

    def _take(self) -> None:
        """Settle the way on top: dropped, sized, moved down, or made a plan."""
        _, _, (account, market, number), queued, offer = heapq.heappop(self._heap)
        contender = self._open.get((account, market))
        if contender is None:
            return
        if offer is None:
            self._size(contender, number)
        elif not self._is_stale(offer.uses, contender.seen[number]):
            self._make_plan(contender, number)
        elif queued == self._turn or not self._move_down(contender, number, offer):
            self._size_again(contender, number)

    def _move_down(self, contender: _Contender, number: int, offer: _Offer) -> bool:
        """Queue a stale way by an estimate of its net, if another one is worth more than that."""
        if offer.route is None:
            return False
        price = self._spot.price(offer.route, self._remaining, self._used)
        estimate = estimate_net(offer.result, offer.price, price, contender.terms)
        if estimate is None or self._is_near_best(contender, estimate):
            return False
        self._push(contender, number, estimate, offer)
        return True

    def _size_again(self, contender: _Contender, number: int) -> None:
        """Size a stale way on what remains, and make a plan of it if it is still near the best."""
        offer = self._offered(contender, number)
        if offer is None:
            return
        if self._is_near_best(contender, offer.result.net):
            self._make_plan(contender, number)
        else:
            self._push(contender, number, offer.result.net, offer)

    def _is_near_best(self, contender: _Contender, net: Wei) -> bool:
        """Whether nothing queued before a way is worth more than ``NEAR_TIE_BPS`` on top of it."""
        if not self._heap:
            return True
        rank, negated, *_ = self._heap[0]
        if rank != contender.candidate.rank:
            return rank > contender.candidate.rank
        best = -negated
        return net >= best - mul_div_floor(abs(best), NEAR_TIE_BPS, BPS)

    def _make_plan(self, contender: _Contender, number: int) -> None:
        """Size a way finely and commit it, unless it misses then."""
        final = contender.size(number, self._remaining, self._turn, FINE)
        if isinstance(final, Sized):
            self._commit(contender, number, final)

    def _commit(self, contender: _Contender, number: int, chosen: Sized) -> None:
        del self._open[contender.key]
        self._plans.append(_plan(contender, number, chosen))
        self._turn += 1
        found = chosen.priced
        holders = [
            LiquidityKey(holder=hop.pool, token=hop.token_out) for hop in chosen.way.route.hops
        ]
        paid_out = list(zip(holders, found.proceeds.paid_out, strict=True))
        self._remaining = self._remaining.less(found.outcome, found.proceeds.after, paid_out)
        self.remaining.append(self._remaining)
        self._used.update(dict.fromkeys({*chosen.uses, *holders}, self._turn))

    def _retry(self) -> None:
        """
        Try once more what missed before the last plans.

        They may have moved a price the other way, or repaid what a payout lacked.
        """
        for contender in self._open.values():
            for number, result in list(contender.results.items()):
                uses = _uses(contender.ways[number])
                if isinstance(result, Miss) and self._is_stale(uses, contender.seen[number]):
                    self._offer(contender, number)

    def _is_stale(self, uses: frozenset[Depth], seen: int) -> bool:
        return any(self._used.get(depth, 0) > seen for depth in uses)


def _uses(way: Way) -> frozenset[Depth]:
    """Return the depths that any amount along ``way`` rests on."""
    holders = [lender.liquidity for lender in way.lenders or ()]
    for answer in way.outcomes.values():
        if isinstance(answer, Outcome):
            holders.extend(key for key, _ in answer.drawn)
    return frozenset[Depth]((*way.route.pools, *holders))


def _outpaced(now: Miss, before: Wei) -> Miss:
    """Return the miss of a way that would pay at the first prices: depth lacks, or was taken."""
    detail = f"{now.detail}; {before} wei at the first prices"
    shallow = now.reason in (SkipReason.BELOW_MIN_PROFIT, SkipReason.EXIT_TOO_SHALLOW)
    reason = SkipReason.EXIT_TOO_SHALLOW if shallow else now.reason
    return Miss(reason=reason, detail=detail, net_profit=now.net_profit)


def _net(result: Sized | Miss) -> Wei | None:
    return result.net if isinstance(result, Sized) else result.net_profit


def _first(way: Way) -> FlashLender | None:
    return way.lenders[0] if way.lenders else None


def _funding(chosen: Sized, policy: Policy) -> Funding:
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


def _plan(contender: _Contender, number: int, chosen: Sized) -> Plan:
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
        funding=_funding(chosen, terms.policy),
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
