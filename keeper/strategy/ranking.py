"""Greedy selection and order of liquidations, each priced after the earlier ones.

Every option of every account is queued by the highest net profit it can have, sized when it reaches
the top, and sized again if its pools or holders were used since. An account is liquidated at most
once per round. If the policy ranks accounts, lower ranks come first, whatever they earn.

A plan that uses a pool makes all other options through it stale. Sizing each of them again after
every plan would take quadratic time. So a stale option at the top is first moved down by an
estimate from the pool's new price, and one that was sized again is chosen if nothing queued is more
than ``NEAR_TIE_BPS`` better. Estimates affect the order only. A chosen plan was sized exactly on
what the plans before it leave.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.decision import Decision
from keeper.domain.exits import Exits
from keeper.domain.opportunity import LiquidityKey, Outcome
from keeper.domain.pending import PendingSale
from keeper.domain.plan import Plan
from keeper.domain.units import BPS, Address, Bps, MarketKey, TokenUnits, Wei, mul_div_floor
from keeper.strategy.candidate import Candidate, Terms
from keeper.strategy.contender import Contender, build_plan, follow_up
from keeper.strategy.gas import GasModel
from keeper.strategy.pending import less_pending
from keeper.strategy.policy import Costs, Policy
from keeper.strategy.pricing import Miss
from keeper.strategy.remaining import Depth, Remaining
from keeper.strategy.rounds import liquidate
from keeper.strategy.sizing import COARSE, FINE, Sized, Way
from keeper.strategy.spot import RouteKey, SpotPrices, estimate_net

NEAR_TIE_BPS: Final = Bps(100)
"""Lead of a queued option, in basis points, that makes it be sized before another is chosen."""

_Key = tuple[Address, MarketKey, int]
"""One option of one account, ordering equal profits."""


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
    """Return one decision per candidate, liquidations in execution order before the skips.

    The liquidations are priced one after the other, each on the curves and ``liquidity`` that the
    earlier ones leave, after the ``pending`` sales. Equal profits are ordered by account, and the
    order of ``candidates`` has no effect. Skips are ordered by account too.
    """
    start = less_pending(Remaining(curves=exits.curves, liquidity=liquidity), pending)
    return ranked(
        candidates, exits, start, costs=costs, policy=policy, gas_model=gas_model
    ).decisions


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """Decisions, plans first, with the depth before the first plan and after each."""

    decisions: list[Decision]
    plans: list[Plan]
    remaining: list[Remaining]


def ranked(
    candidates: Sequence[Candidate],
    exits: Exits,
    start: Remaining,
    *,
    costs: Costs,
    policy: Policy,
    gas_model: GasModel,
) -> Ranked:
    """Do the same as ``sequenced`` from a given depth, and return the depth after each plan."""
    ordered = sorted(candidates, key=lambda candidate: (candidate.account, candidate.market))
    contenders = [
        Contender(candidate, exits, Terms.of(candidate, costs, policy, gas_model))
        for candidate in ordered
    ]
    sequence = _GreedySequence(contenders, start)
    plans = sequence.run(policy.rounds)
    liquidations = liquidate(plans)
    taken = {(decision.account, decision.market) for decision in liquidations}
    skips = [contender.skip() for contender in contenders if contender.key not in taken]
    return Ranked(decisions=[*liquidations, *skips], plans=plans, remaining=sequence.remaining)


@dataclass(frozen=True, slots=True)
class _QueuedOption:
    """Sized option in the queue with the depths it uses and its route's price when sized."""

    result: Sized
    uses: frozenset[Depth]
    route: RouteKey | None
    price: int | None


class _GreedySequence:
    """State of the greedy loop, with the remaining depth and the last use of each depth."""

    def __init__(self, contenders: Sequence[Contender], remaining: Remaining) -> None:
        self._open = {contender.key: contender for contender in contenders}
        self._remaining = remaining
        self.remaining = [remaining]
        self._turn = 0
        self._used: dict[Depth, int] = {}
        self._spot = SpotPrices()
        self._heap: list[tuple[int, int, _Key, int, _QueuedOption | None]] = []
        self._plans: list[Plan] = []
        self._taken: list[tuple[Contender, Sized]] = []

    def run(self, rounds: int) -> list[Plan]:
        """Return the plans of ``rounds`` rounds in execution order."""
        self._run_round()
        for _ in range(rounds - 1):
            further = [follow_up(*one) for one in self._taken]
            self._open = {one.key: one for one in further if one is not None}
            self._taken.clear()
            if not self._open:
                break
            self._run_round()
        return self._plans

    def _run_round(self) -> None:
        """Make a plan for every open account that has a way which pays."""
        for contender in self._open.values():
            for number in range(len(contender.ways)):
                self._queue_option(contender, number)
        while self._heap:
            self._process_top()
            if not self._heap:
                self._retry()

    def _queue_option(self, contender: Contender, number: int) -> None:
        """Queue an option by its highest net profit. It is sized when it reaches the top."""
        most = contender.ceiling(number, self._remaining, self._turn)
        if most is None:
            self._queue_sized(contender, number)
        elif most >= contender.terms.min_profit:
            self._push(contender, number, most, None)

    def _queue_sized(self, contender: Contender, number: int) -> None:
        """Size an option on the remaining depth and queue it by its net profit."""
        offer = self._build_sized(contender, number)
        if offer is not None:
            self._push(contender, number, offer.result.net, offer)

    def _build_sized(self, contender: Contender, number: int) -> _QueuedOption | None:
        """Return an option sized on the remaining depth. None if it is refused."""
        result = contender.size(number, self._remaining, self._turn, COARSE)
        if isinstance(result, Miss):
            return None
        route = self._spot.key(result)
        price = None if route is None else self._spot.price(route, self._remaining, self._used)
        return _QueuedOption(result=result, uses=result.uses, route=route, price=price)

    def _push(
        self, contender: Contender, number: int, net: Wei, offer: _QueuedOption | None
    ) -> None:
        key = (*contender.key, number)
        heapq.heappush(self._heap, (contender.candidate.rank, -net, key, self._turn, offer))

    def _process_top(self) -> None:
        """Drop, size, move down or plan the option at the top of the queue."""
        _, _, (account, market, number), queued, offer = heapq.heappop(self._heap)
        contender = self._open.get((account, market))
        if contender is None:
            return
        if offer is None:
            self._queue_sized(contender, number)
        elif not self._is_stale(offer.uses, contender.seen[number]):
            self._make_plan(contender, number)
        elif queued == self._turn or not self._move_down(contender, number, offer):
            self._update_stale(contender, number)

    def _move_down(self, contender: Contender, number: int, offer: _QueuedOption) -> bool:
        """Requeue a stale option by an estimated net profit, if another one is worth more."""
        if offer.route is None:
            return False
        price = self._spot.price(offer.route, self._remaining, self._used)
        estimate = estimate_net(offer.result, offer.price, price, contender.terms)
        if estimate is None or self._is_near_best(contender, estimate):
            return False
        self._push(contender, number, estimate, offer)
        return True

    def _update_stale(self, contender: Contender, number: int) -> None:
        """Size a stale option again, and plan it if it is still near the best."""
        offer = self._build_sized(contender, number)
        if offer is None:
            return
        if self._is_near_best(contender, offer.result.net):
            self._make_plan(contender, number)
        else:
            self._push(contender, number, offer.result.net, offer)

    def _is_near_best(self, contender: Contender, net: Wei) -> bool:
        """Return whether no queued option is more than ``NEAR_TIE_BPS`` better."""
        if not self._heap:
            return True
        rank, negated, *_ = self._heap[0]
        if rank != contender.candidate.rank:
            return rank > contender.candidate.rank
        best = -negated
        return net >= best - mul_div_floor(abs(best), NEAR_TIE_BPS, BPS)

    def _make_plan(self, contender: Contender, number: int) -> None:
        """Size an option finely and commit it, unless it is refused then."""
        final = contender.size(number, self._remaining, self._turn, FINE)
        if isinstance(final, Sized):
            self._commit(contender, number, final)

    def _commit(self, contender: Contender, number: int, chosen: Sized) -> None:
        del self._open[contender.key]
        self._plans.append(build_plan(contender, number, chosen))
        self._taken.append((contender, chosen))
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
        """Retry the options that were refused before the last plans.

        Those plans may have moved a price the other way, or repaid tokens that a payout lacked.
        """
        for contender in self._open.values():
            for number, result in list(contender.results.items()):
                uses = _list_depths(contender.ways[number])
                if isinstance(result, Miss) and self._is_stale(uses, contender.seen[number]):
                    self._queue_option(contender, number)

    def _is_stale(self, uses: frozenset[Depth], seen: int) -> bool:
        return any(self._used.get(depth, 0) > seen for depth in uses)


def _list_depths(way: Way) -> frozenset[Depth]:
    """Return the depths that any amount of ``way`` depends on."""
    holders = [lender.liquidity for lender in way.lenders or ()]
    for answer in way.outcomes.values():
        if isinstance(answer, Outcome):
            holders.extend(key for key, _ in answer.drawn)
    return frozenset[Depth]((*way.route.pools, *holders))
