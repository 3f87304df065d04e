"""Many accounts in one block leave in portions: the best first, while the rest is sized."""

from dataclasses import replace

import pytest

from keeper.domain.decision import Liquidate, SkipReason
from keeper.domain.errors import RpcUnavailable
from keeper.domain.restraint import Restraint
from keeper.pipeline import decided
from keeper.stages.choosing import ByWorth, Recorded
from keeper.stages.witness import witnessed
from keeper.strategy.policy import Policy
from keeper.strategy.portions import FIRST
from tests.flow.scripted_market import (
    HEAD,
    MARKET,
    Desk,
    ScriptedExecutor,
    ScriptedSnapshot,
    ScriptedVenue,
    account,
    pair,
)
from tests.unit.strategy.market import exits, route, weth_pool

GAS = 300_000


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Gate:
    """Where transactions leave; notes how often had been simulated by then."""

    def __init__(self, executor, *, open_for=10**6, clock=None):
        self.executor, self.open_for, self.clock = executor, open_for, clock
        self.left, self.simulations = [], []

    async def __call__(self, head, batches, losses):
        self.left.append([plan for batch in batches for plan in batch.plans])
        self.simulations.append(len(self.executor.rounds))
        if self.clock is not None:
            self.clock.now += 1
        return len(self.left) < self.open_for


class Owing(ScriptedSnapshot):
    """A market that says what each account owes."""

    def accounts(self):
        debts = {one.account: one.debt * 100 for one in self.pairs}
        return [
            replace(health, collateral_base=2 * debt, debt_base=debt)
            for health in super().accounts()
            for debt in [debts.get(health.account, 1)]
        ]


def crowd(count, usd=lambda number: 10_000 + 100 * (number * 7 % 97)):
    return Owing(
        tuple(
            pair(number, usd(number), partial=(1, usd(number) * 10**6)) for number in range(count)
        )
    )


def executor_of(**changes):
    return ScriptedExecutor(gas={account(number): GAS for number in range(2_000)}, **changes)


def planner_of(executor, gate=None, *, venue=None, clock=None, seconds=5.0, **changes):
    venues = {"venues": [venue]} if venue else {}
    desk = Desk(executors={MARKET: executor}, policy=replace(Policy(), **changes), **venues)
    return desk.planner(chooser=ByWorth(seconds=seconds, clock=clock or Clock()), leave=gate)


async def decide(count=60, executor=None, gate=None, **changes):
    executor = executor or executor_of()
    gate = gate or Gate(executor)
    result = await decided(planner_of(executor, gate, **changes), HEAD, [crowd(count)])
    return result, executor, gate


@pytest.mark.slow
async def test_the_first_transaction_leaves_before_the_rest_is_simulated():
    """Sizing and simulating sixty accounts holds up none of the first ones."""
    result, executor, gate = await decide(60)

    assert gate.simulations[0] == 1
    assert [len(batch) for batch in executor.rounds[0]] == [FIRST]
    assert len(gate.left) > 2
    assert [plan for portion in gate.left for plan in portion] == [
        plan for batch in result.batches for plan in batch.plans
    ]


@pytest.mark.slow
async def test_every_account_is_decided_once_and_none_is_sent_twice():
    """However many portions there are, an account has one plan and one decision."""
    result, _, gate = await decide(150)

    sent = [plan.account for portion in gate.left for plan in portion]
    assert len(sent) == len(set(sent))
    assert sorted(one.account for one in result.decisions) == [account(n) for n in range(150)]
    assert {one.account for one in result.decisions if isinstance(one, Liquidate)} == set(sent)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [10**9, 10**7])
async def test_what_leaves_first_is_worth_95_percent_of_the_best_by_full_ranking(depth):
    """The bound by which accounts are chosen is no worse a guide than sizing them all."""
    pool = weth_pool(depth)
    venue = ScriptedVenue(exits(route(pool), pools=(pool,)))
    _, _, gate = await decide(120, venue=venue)
    everybody = Desk(venues=[venue], executors={MARKET: executor_of()})

    full = await everybody.decide(crowd(120))

    best = [one.plan for one in full.decisions if isinstance(one, Liquidate)][:FIRST]
    first = sum(plan.gross_profit_wei for plan in gate.left[0])
    assert first * 100 >= sum(plan.gross_profit_wei for plan in best) * 95


@pytest.mark.slow
async def test_later_portions_are_sized_on_what_earlier_ones_leave():
    """A pool is sold into once: no two portions take the same depth."""
    pool = weth_pool(10**7)
    venue = ScriptedVenue(exits(route(pool), pools=(pool,)))
    _, _, gate = await decide(60, venue=venue, flash_swap_sources={})

    at, total, expected = pool, 0, 0
    for plan in (plan for portion in gate.left for plan in portion):
        trade = at.sold(plan.receive_token, plan.receive)
        at, total = trade.after, total + trade.amount_out - plan.spend - plan.funding.fee
        expected += plan.gross_profit
    assert len(gate.left) > 1
    assert all(len(plan.route.hops) == 1 for portion in gate.left for plan in portion)
    assert total == expected


@pytest.mark.slow
async def test_later_portions_are_simulated_behind_the_earlier_ones():
    """What left is run first in every later simulation."""
    _, executor, gate = await decide(60)

    for before, own in zip(gate.left, executor.rounds[1:], strict=False):
        ran = [who for batch in own for who in batch]
        assert (
            ran[: len(before)]
            == [plan.account for portion in gate.left for plan in portion][: len(before)]
        )


@pytest.mark.slow
async def test_an_account_that_fails_holds_up_only_itself():
    """It is put behind the others, and goes its next way in the end."""
    near, far = weth_pool(10**9, number=900, fee=500), weth_pool(10**9, number=901, fee=3_000)
    richest = max(range(60), key=lambda number: 10_000 + 100 * (number * 7 % 97))
    executor = executor_of(
        fails=lambda plan: (
            "stuck" if plan.account == account(richest) and near.pool in plan.route.pools else ""
        )
    )
    venue = ScriptedVenue(exits(route(near), route(far), pools=(near, far)))

    result, _, gate = await decide(60, executor=executor, venue=venue)

    assert gate.simulations[0] == 2
    assert account(richest) not in {plan.account for plan in gate.left[0]}
    plan = next(p for portion in gate.left for p in portion if p.account == account(richest))
    assert plan.route.pools == (far.pool,)
    assert len(result.decisions) == 60


@pytest.mark.slow
async def test_an_account_that_fails_every_way_is_told_so_and_the_others_leave():
    """One token that refuses its transfer costs nobody else anything."""
    richest = max(range(60), key=lambda number: 10_000 + 100 * (number * 7 % 97))
    executor = executor_of(fails=lambda plan: "no" if plan.account == account(richest) else "")

    result, _, gate = await decide(60, executor=executor)

    (skip,) = [one for one in result.decisions if not isinstance(one, Liquidate)]
    assert (skip.account, skip.reason) == (account(richest), SkipReason.SIMULATION_FAILED)
    assert sum(len(portion) for portion in gate.left) == 59


async def test_planning_ends_where_nothing_can_leave_any_more():
    """A limit that holds the first transactions spares the rest the work; they are told why."""
    executor = executor_of()
    result, executor, gate = await decide(60, executor=executor, gate=Gate(executor, open_for=1))

    left = {plan.account for plan in gate.left[0]}
    rest = [one for one in result.decisions if one.account not in left]
    assert len(executor.rounds) == 1
    assert len(rest) == 60 - FIRST
    assert {one.reason for one in rest} == {SkipReason.NOT_SENT}


async def test_planning_ends_with_its_share_of_the_block():
    """After the time no portion is begun; what is left goes on with the next head."""
    executor, clock = executor_of(), Clock()
    gate = Gate(executor, clock=clock)

    result, _, _ = await decide(100, executor=executor, gate=gate, clock=clock, seconds=0.5)

    assert len(gate.left) == 1
    assert sum(one.reason is SkipReason.NOT_SENT for one in result.decisions[FIRST:]) == 94


@pytest.mark.slow
@pytest.mark.parametrize("room", [1, 2, 3, 5, 16])
async def test_no_more_transactions_are_made_than_may_wait(room):
    """With few nonces left each transaction holds more; nothing is planned beyond them."""
    result, _, _ = await decide(100, transactions=room)

    sent = sum(len(batch.plans) for batch in result.batches)
    gas = sum(batch.gas_limit for batch in result.batches)
    assert 0 < len(result.batches) <= room
    assert sent == 100 or len(result.batches) == room or gas > HEAD.gas_limit // 2


@pytest.mark.slow
@pytest.mark.parametrize("room", [1, 2, 3])
async def test_few_transactions_are_not_sized_for_everybody(room):
    """Where most nonces are taken, hundreds of accounts are not sized for a handful of places."""
    result, _, _ = await decide(500, transactions=room)

    sent = sum(len(batch.plans) for batch in result.batches)
    reasons = [one.detail for one in result.decisions if not isinstance(one, Liquidate)]
    later = sum("worth more come first" in detail for detail in reasons)
    assert len(result.batches) == room
    assert sent >= 12 * room
    assert later >= 500 - 24 * room


async def test_no_more_is_planned_than_the_next_block_can_take():
    """Four hundred accounts: a block's worth leaves, the others wait for the next head."""
    result, _, _ = await decide(400)

    sent = [plan for batch in result.batches for plan in batch.plans]
    fits = HEAD.gas_limit // GAS
    assert fits - 3 <= len(sent) <= fits + 3
    assert len(result.batches) <= 16
    assert len(result.decisions) == 400


@pytest.mark.slow
@pytest.mark.parametrize("gas", [150_000, 280_000, 300_000, 410_000])
async def test_every_limit_fits_behind_the_gas_of_those_before_it(gas):
    """A block takes what it has room for by its limit: each transaction lands in the next one."""
    executor = ScriptedExecutor(gas={account(n): gas for n in range(600)}, reports=True)

    result, _, _ = await decide(500, executor=executor)

    used = 0
    for batch in result.batches:
        assert used + batch.gas_limit <= HEAD.gas_limit
        used += sum(plan.gas for plan in batch.plans)
    sent = sum(len(batch.plans) for batch in result.batches)
    assert HEAD.gas_limit - used < 1_400_000  # the last one's headroom, and a plan
    assert len(result.decisions) == 500
    assert sum(isinstance(one, Liquidate) for one in result.decisions) == sent


@pytest.mark.slow
async def test_what_a_cut_leaves_pays_alone_for_what_all_had_shared():
    """A plan of a transaction that was cut to the block carries more of its gas, and covers it."""
    gas = {account(n): 280_000 for n in range(600)}
    executor = ScriptedExecutor(gas=gas, reports=True)

    result, _, _ = await decide(500, executor=executor)

    last = result.batches[-1]
    simulated = next(batch for batch in executor.rounds[-1] if last.plans[0].account in batch)
    cut = len(simulated) - len(last.plans)
    assert cut > 0
    assert sum(plan.gas for plan in last.plans) > 280_000 * len(last.plans)
    assert all(
        plan.min_profit * plan.gross_profit_wei
        >= (plan.gas * plan.gas_price + plan.least_net) * plan.gross_profit
        for plan in last.plans
    )


@pytest.mark.slow
async def test_the_last_transactions_of_a_full_block_are_the_smallest():
    """What stays unused of a block is less than the last transaction that does not fit."""
    result, _, _ = await decide(400)

    sizes = [len(batch.plans) for batch in result.batches[1:]]
    assert sizes[-1] < sizes[0] // 2


async def test_what_left_stands_where_the_node_fails_afterwards():
    """A simulation that is not answered ends the planning, not the record of what has left."""

    class Failing(ScriptedExecutor):
        async def simulated(self, batches, head):
            if self.rounds:
                raise RpcUnavailable("gone")
            return await super().simulated(batches, head)

    executor = Failing(gas={account(number): GAS for number in range(100)})
    result, _, gate = await decide(60, executor=executor)

    sent = {one.account for one in result.decisions if isinstance(one, Liquidate)}
    assert sent == {plan.account for plan in gate.left[0]}
    assert len(result.decisions) == 60


async def test_a_node_that_fails_at_first_is_an_error():
    """As long as nothing has left, the block is skipped as ever."""

    class Failing(ScriptedExecutor):
        async def simulated(self, batches, head):
            raise RpcUnavailable("gone")

    with pytest.raises(RpcUnavailable):
        await decide(60, executor=Failing())


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
async def test_the_recorded_portions_give_the_same_decisions(fails):
    """Deciding again needs no clock: the portions are on record."""
    executor, clock = executor_of(), Clock()
    if fails:
        executor.fails = lambda plan: "no" if plan.account == account(13) else ""
    gate = Gate(executor, clock=clock)
    first = planner_of(executor, gate, clock=clock, seconds=1.5)
    result = await witnessed(first, HEAD, [crowd(150)])
    again = planner_of(executor_of(fails=executor.fails), None)

    replayed = await decided(
        replace(again, chooser=Recorded(portions=result.inputs.portions)), HEAD, [crowd(150)]
    )

    by_account = {one.account: one for one in result.decisions}
    assert len(result.inputs.portions) > 1
    assert {one.account: one for one in replayed.decisions} == by_account


async def test_a_few_accounts_are_one_portion():
    """Up to a usual transaction's plans there is nothing to be gained."""
    _, executor, gate = await decide(12)

    assert [len(portion) for portion in gate.left] == [12]
    assert len(executor.rounds) == 1


@pytest.mark.slow
async def test_ranks_come_before_worth():
    """Where the policy ranks accounts, those of a lesser rank leave first."""
    executor = executor_of()
    gate = Gate(executor)
    poorest = sorted(range(60), key=lambda number: 10_000 + 100 * (number * 7 % 97))[:FIRST]
    ranks = {(MARKET, account(n)): 0 if n in poorest else 1 for n in range(60)}

    await decided(planner_of(executor, gate), HEAD, [crowd(60)], restraint=Restraint(ranks=ranks))

    assert {plan.account for plan in gate.left[0]} == {account(number) for number in poorest}
