"""Plans portions of candidates into transactions, each portion after the earlier ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keeper.domain.decision import Decision
from keeper.domain.exits import Exits
from keeper.domain.head import Head
from keeper.domain.opportunity import LiquidityKey
from keeper.domain.parity import Subject
from keeper.domain.pending import PendingSale
from keeper.domain.plan import Batch, Plan
from keeper.domain.units import BPS, Gas, TokenUnits, Wei, mul_div_ceil
from keeper.stages.rehearsal import Rehearsal, Rehearsed
from keeper.strategy.attempts import MAX_ROUNDS, OTHERS_FAILED, Attempts, as_sent
from keeper.strategy.batches import ANY_LIMIT, Queue, fit_gas
from keeper.strategy.candidate import Candidate
from keeper.strategy.pending import less_pending
from keeper.strategy.policy import Costs, Policy
from keeper.strategy.portions import FIRST, LEAST_SPARE, NO_GAS, TRANSACTIONS, Portion
from keeper.strategy.ranking import Ranked, ranked
from keeper.strategy.remaining import Remaining

_MOST_IN_ONE: Final = 24
"""Plans of a transaction, at least twice the usual number, that few transactions are sized for."""
_KEPT_BACK: Final = 100
"""Basis points of the next block left unplanned, since its last limit has headroom."""
_SPARE: Final = 25
"""Basis points of the next block kept free of limits, since inclusions may use more gas."""
_NO_ROOM: Final = (
    "as many transactions as may wait for a block have left before; it is planned with a later one"
)


@dataclass(slots=True, kw_only=True)
class Planning:
    """Plans of one head, portion by portion.

    Amounts sold and drawn by earlier portions are unavailable to later ones, and their transactions
    come first in every simulation. ``batches`` has all portions' transactions. ``rehearsal`` has
    the minimums of the planned markets. ``begin_reads`` is called before a simulation. ``pending``
    are the sales in flight before the first portion.
    """

    head: Head
    policy: Policy
    rehearsal: Rehearsal
    liquidity: Mapping[LiquidityKey, TokenUnits]
    begin_reads: Callable[[Head, Sequence[Plan]], None]
    pending: Sequence[PendingSale] = ()
    batches: list[Batch] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    put_off: list[Subject] = field(default_factory=list)
    _attempts: Attempts = field(default_factory=Attempts)
    _remaining: Remaining | None = None
    _portions: int = 0
    _gas_ahead: Gas = NO_GAS
    _is_full: bool = False

    def next_size(self, waiting: int) -> int:
        """Compute the next portion's number of accounts. 0 if no more can be sent."""
        queue, usual = self._compute_load(), self.policy.max_plans_per_transaction
        if self._is_full or not queue.transactions or queue.filling == 0:
            return 0
        if not self._portions:
            is_crowd = waiting > usual and queue.transactions > LEAST_SPARE
            return FIRST if is_crowd else queue.transactions * max(2 * usual, _MOST_IN_ONE)
        if self._portions >= len(TRANSACTIONS):
            return waiting if queue.filling is None else min(waiting, queue.filling)
        size = 0
        for _ in range(min(TRANSACTIONS[self._portions], queue.transactions)):
            count = queue.plans_per_transaction(waiting - size, usual)
            queue, size = queue.after(count), size + count
        return max(1, size)

    async def plan(
        self, candidates: Sequence[Candidate], priced: tuple[Costs, Exits], portion: Portion
    ) -> tuple[list[Batch], list[Decision]]:
        """Plan a portion's transactions and decisions.

        An account that fails in the simulation is deferred while others wait behind the portion, so
        that they need not wait for its next option.
        """
        costs, exits = priced
        start = self._start_depth(exits)
        self._attempts.enter(candidates)
        policy, found = self._build_policy(len(candidates), portion, costs), Rehearsed()
        answer = Ranked(decisions=[], plans=[], remaining=[start])
        for _ in range(MAX_ROUNDS):
            answer = ranked(
                self._attempts.candidates,
                exits,
                start,
                costs=costs,
                policy=policy,
                gas_model=self.rehearsal.gas_model,
            )
            if answer.plans:
                self.begin_reads(self.head, answer.plans)
            found = await self.rehearsal.of(
                answer.plans,
                policy,
                costs,
                self.head,
                queue=self._compute_load(portion, costs),
                earlier=self.batches,
            )
            if found.clean:
                break
            self._apply_verdict(found, portion.rest)
            if found.apart:
                half = max(1, policy.max_plans_per_transaction // 2)
                policy = replace(policy, max_plans_per_transaction=half)
        sent = [plan for batch in found.batches for plan in batch.plans]
        self._remaining = answer.remaining[_count_executed(answer.plans, sent)]
        self.batches += found.batches
        self._portions += 1
        self._is_full = found.is_full
        decisions = as_sent(
            answer.decisions, found.batches, _NO_ROOM if found.clean else OTHERS_FAILED
        )
        self.decisions += decisions
        return found.batches, decisions

    def told(self) -> list[Decision]:
        """List the decisions of all portions, each account once."""
        return self._attempts.told(self.decisions)

    def _apply_verdict(self, found: Rehearsed, rest: int) -> None:
        """Bar failed options and drop unprofitable accounts before the portion is sized again."""
        for plan, failure in found.failed:
            if self._attempts.failed(plan, failure) and rest:
                self._attempts.put_off(plan)
                self.put_off.append((plan.market, plan.account))
        for skip in found.refused:
            self._attempts.refused(skip)
        for plan, rounds in found.cut:
            self._attempts.cut(plan, rounds)

    def _start_depth(self, exits: Exits) -> Remaining:
        before = self._remaining
        if before is None:
            start = Remaining(curves=exits.curves, liquidity=self.liquidity)
            return less_pending(start, self.pending)
        return replace(before, curves={**exits.curves, **before.curves})

    def _build_policy(self, accounts: int, portion: Portion, costs: Costs) -> Policy:
        """Return the policy, without further rounds if the block cannot include all first ones."""
        filling = self._compute_load(portion, costs).filling
        is_full = filling is not None and filling < accounts + portion.rest
        return replace(self.policy, rounds=1) if is_full else self.policy

    def _compute_load(self, portion: Portion | None = None, costs: Costs | None = None) -> Queue:
        limit = self.head.gas_limit if costs is None else costs.block_gas_limit
        plans = [plan for batch in self.batches for plan in batch.plans]
        batches = [(len(one.plans), sum(plan.gas for plan in one.plans)) for one in self.batches]
        base_gas, plan_gas = fit_gas(batches)
        self._gas_ahead = self._gas_ahead if portion is None else portion.gas_ahead
        taken = self._gas_ahead + sum(gas for _, gas in batches)
        left = limit - taken - mul_div_ceil(limit, _KEPT_BACK, BPS)
        is_later = portion is not None and portion.is_bounded and bool(batches)
        reach = limit - taken - mul_div_ceil(limit, _SPARE, BPS)
        model = self.rehearsal.gas_model
        return Queue(
            rest=0 if portion is None else portion.rest,
            transactions=max(0, self.policy.transactions - len(self.batches)),
            gas_left=Gas(max(0, left)),
            plan_gas=plan_gas,
            base_gas=base_gas,
            most=model.most_steps([plan.step_gas for plan in plans], self.policy, Gas(limit)),
            is_bounded=portion is not None and portion.is_bounded,
            limit_left=Gas(reach) if is_later else ANY_LIMIT,
        )


def _count_executed(plans: Sequence[Plan], sent: Sequence[Plan]) -> int:
    """Count the plans considered executed, all of them unless the first ones were sent."""
    own = [(plan.market, plan.account) for plan in sent]
    first = [(plan.market, plan.account) for plan in plans[: len(own)]]
    return len(own) if own == first else len(plans)


def minimum_of(candidate: Candidate, policy: Policy) -> Wei:
    """Compute the least net profit of a plan at the prices of the candidate's market."""
    return candidate.valuation.wei_of_usd_ceil(policy.min_profit_usd_e8)
