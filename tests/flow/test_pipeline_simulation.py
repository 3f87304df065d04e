"""The simulation decides: what fails goes another way, what does not pay is left."""

import pytest

from keeper.domain.decision import Liquidate, Skip, SkipReason
from keeper.domain.plan import DataFee
from keeper.execution.fees import plan_surplus
from keeper.strategy.attempts import MAX_ATTEMPTS, MAX_ROUNDS
from keeper.strategy.policy import Policy
from tests.flow.scripted_market import (
    MARKET,
    Desk,
    ScriptedExecutor,
    ScriptedFees,
    ScriptedSnapshot,
    ScriptedVenue,
    account,
    pair,
)
from tests.unit.strategy.market import GWEI, exits, route, weth_pool

NEAR, FAR = weth_pool(10**9, number=900, fee=500), weth_pool(10**9, number=901, fee=3_000)
TWO_POOLS = exits(route(NEAR), route(FAR), pools=(NEAR, FAR))
FREE = Policy(min_profit_usd_e8=0)


def desk(executor=None, **changes):
    return Desk(
        venues=[ScriptedVenue(TWO_POOLS)],
        executors={MARKET: executor or ScriptedExecutor()},
        **changes,
    )


def sent(result):
    return [[plan.account for plan in batch.plans] for batch in result.batches]


def skips(result):
    return {one.account: one for one in result.decisions if isinstance(one, Skip)}


def way(plan):
    return plan.route.pools, plan.funding.name


async def test_a_way_that_fails_is_barred_and_the_next_best_taken():
    """A pool that cannot be sold to (a token that taxes it, say) does not cost the account."""
    executor = ScriptedExecutor(fails=lambda p: "stuck" if NEAR.pool in p.route.pools else "")

    result = await desk(executor).decide(ScriptedSnapshot((pair(1),)))

    (plan,) = result.batches[0].plans
    assert plan.route.pools == (FAR.pool,)
    assert len(executor.rounds) == MAX_ATTEMPTS
    assert [type(one) for one in result.decisions] == [Liquidate]


async def test_an_account_that_fails_every_way_is_left_for_the_first_reason():
    """The best way's failure is the one worth knowing; the node is asked a few times only."""
    seen = []

    def fails(plan):
        if way(plan) not in seen:
            seen.append(way(plan))
        return f"failure {seen.index(way(plan)) + 1}"

    executor = ScriptedExecutor(fails=fails)

    result = await desk(executor).decide(ScriptedSnapshot((pair(1),)))

    skip = skips(result)[account(1)]
    assert (skip.reason, "failure 1" in skip.detail) == (SkipReason.SIMULATION_FAILED, True)
    assert (len(seen), len(executor.rounds)) == (MAX_ATTEMPTS, MAX_ATTEMPTS)
    assert (result.batches, len(result.decisions)) == ([], 1)


async def test_an_account_without_another_way_says_what_failed():
    """Not that its last pair has no lender: that is only so since the way was barred."""
    executor = ScriptedExecutor(fails=lambda _: "stuck")
    only = Desk(executors={MARKET: executor}, policy=Policy(flash_swap_sources={}))

    result = await only.decide(ScriptedSnapshot((pair(1),)))

    skip = skips(result)[account(1)]
    assert (skip.reason, "stuck" in skip.detail) == (SkipReason.SIMULATION_FAILED, True)
    assert len(executor.rounds) == 1


async def test_the_others_are_sent_and_each_account_is_told_once():
    """One hopeless account among four: three go out, priced without it."""
    executor = ScriptedExecutor(fails=lambda p: "stuck" if p.account == account(2) else "")

    result = await desk(executor).decide(ScriptedSnapshot(tuple(pair(n) for n in range(4))))

    assert sent(result) == [[account(0), account(1), account(3)]]
    assert [one.account for one in result.decisions].count(account(2)) == 1
    assert len(result.decisions) == 4


async def test_the_gas_used_decides_and_not_the_estimate():
    """A plan that the estimate let through and that loses money is left, with the numbers."""
    gas = {account(1): 10**9}
    executor = ScriptedExecutor(gas=gas)

    result = await desk(executor, policy=FREE).decide(ScriptedSnapshot((pair(1),)))

    skip = skips(result)[account(1)]
    assert skip.reason == SkipReason.GAS_TOO_EXPENSIVE
    assert skip.net_profit < 0
    assert f"{gas[account(1)]} gas" in skip.detail
    assert f"net {skip.net_profit} wei" in skip.detail
    assert result.batches == []


async def test_the_minimum_is_asked_of_the_simulated_profit():
    """It pays its gas and less than the policy's minimum on top: left, and told apart."""
    snapshot = ScriptedSnapshot((pair(1),))
    free = await desk(policy=FREE).decide(snapshot)
    (plan,) = free.batches[0].plans
    cents = plan.net_profit * 2_000 * 100 // 10**18
    asking = Policy(min_profit_usd_e8=(cents + 1) * 10**6)

    result = await desk(policy=asking).decide(snapshot)

    skip = skips(result)[account(1)]
    assert (skip.reason, skip.net_profit) == (SkipReason.BELOW_MIN_PROFIT, plan.net_profit)
    assert "simulated" in skip.detail


async def test_accounts_that_pay_together_are_not_lost_at_nomination():
    """In a full transaction a liquidation takes far less gas than alone; only the node knows."""
    gas_price, warm = 20 * GWEI, 300_000
    accounts = tuple(pair(n, 450) for n in range(6))
    executor = ScriptedExecutor(gas={account(n): warm for n in range(6)})
    thrifty = desk(executor, policy=FREE)
    thrifty.fees.price = gas_price

    result = await thrifty.decide(ScriptedSnapshot(accounts))

    (batch,) = result.batches
    assert len(batch.plans) == 6
    assert all(one.gas == warm and one.net_profit > 0 for one in batch.plans)


async def test_what_is_sent_enforces_the_gas_that_was_used():
    """The minimum on chain covers the real gas and the policy's profit, not the estimate's."""
    result = await desk(ScriptedExecutor(gas={account(1): 900_000})).decide(
        ScriptedSnapshot((pair(1, 50_000),))
    )

    (batch,) = result.batches
    (plan,) = batch.plans
    wanted = 900_000 * plan.gas_price + 5 * 10**18 // 2_000
    enforced = plan.min_profit * plan.gross_profit_wei // plan.gross_profit
    assert enforced >= wanted - 1
    assert plan.min_profit <= plan.sure_profit
    assert str(plan.min_profit).encode() in batch.calldata
    assert batch.net_profit == plan.net_profit


async def test_a_batch_that_fails_as_a_whole_costs_only_who_fails_alone():
    """Its plans are run one by one; the culprit goes another way or is left, the others go on."""
    bad = account(2)

    def breaks(batch):
        return "out of gas" if bad in [plan.account for plan in batch.plans] else ""

    executor = ScriptedExecutor(breaks=breaks)

    result = await desk(executor).decide(ScriptedSnapshot(tuple(pair(n) for n in range(5))))

    assert sent(result) == [[account(n) for n in (0, 1, 3, 4)]]
    skip = skips(result)[bad]
    assert (skip.reason, skip.detail) == (SkipReason.SIMULATION_FAILED, "out of gas")


async def test_plans_that_only_fail_together_are_sent_apart():
    """Nobody is to blame: the transactions get smaller until they work."""
    executor = ScriptedExecutor(breaks=lambda batch: "too much" if len(batch.plans) > 3 else "")

    result = await desk(executor).decide(ScriptedSnapshot(tuple(pair(n) for n in range(7))))

    assert [len(one) for one in sent(result)] == [3, 3, 1]
    assert skips(result) == {}


async def test_a_transaction_in_which_nothing_works_says_what_each_failed_of():
    """The executor reverts then; plan by plan the reasons are the plans' own."""
    executor = ScriptedExecutor(fails=lambda plan: f"reason of {plan.account}")

    result = await desk(executor).decide(ScriptedSnapshot((pair(1), pair(2))))

    for number in (1, 2):
        skip = skips(result)[account(number)]
        assert skip.reason == SkipReason.SIMULATION_FAILED
        assert f"reason of {account(number)}" in skip.detail
        assert f"reason of {account(3 - number)}" not in skip.detail


class FailingOneByOne(ScriptedExecutor):
    """Every simulation finds one more account that fails, whichever way it goes."""

    async def simulated(self, batches, head):
        number = len(self.rounds) + 1
        self.fails = lambda plan: "stuck" if plan.account == account(number) else ""
        return await super().simulated(batches, head)


@pytest.mark.slow
async def test_the_rounds_of_one_head_are_bounded():
    """What comes before the last trouble is sent, what comes after it waits for a block."""
    executor = FailingOneByOne()
    one_each = Policy(max_plans_per_transaction=1)
    pairs = tuple(pair(n, 10_000 + 1_000 * n) for n in range(2 * MAX_ROUNDS))

    result = await desk(executor, policy=one_each).decide(ScriptedSnapshot(pairs))

    assert len(executor.rounds) == MAX_ROUNDS
    assert sent(result) == [[account(n)] for n in range(2 * MAX_ROUNDS - 1, MAX_ROUNDS, -1)]
    reasons = {who: one.reason for who, one in skips(result).items()}
    assert reasons.pop(account(MAX_ROUNDS)) == SkipReason.SIMULATION_FAILED
    assert reasons.keys() == {account(n) for n in range(MAX_ROUNDS)}
    assert len(result.decisions) == len(pairs)


class Rollup(ScriptedFees):
    """Publishing each transaction costs something on top of its gas."""

    fee = 0

    async def data_fees(self, batches, head):
        return [DataFee(fee=self.fee, gas=7_000) for _ in batches]


async def test_profit_is_net_of_what_a_rollup_takes_for_the_data():
    """The plan's profit is less the fee, the executor enforces it, and the limit has its gas."""
    plain = await desk().decide(ScriptedSnapshot((pair(1),)))
    rollup = Rollup()
    rollup.fee = 10**13
    charged = await desk(fees=rollup).decide(ScriptedSnapshot((pair(1),)))

    (before,), (after,) = plain.batches[0].plans, charged.batches[0].plans
    assert after.net_profit == before.net_profit - 10**13
    assert after.min_profit >= before.min_profit
    surplus = [plan_surplus(plan) for plan in (before, after)]
    assert surplus[1] == surplus[0] - 10**13
    assert charged.batches[0].gas_limit == plain.batches[0].gas_limit + 7_000
    assert charged.batches[0].data_fee == 10**13


async def test_an_account_whose_profit_the_data_eats_is_left_with_the_numbers():
    """On a rollup the gas is cheap, and publishing may be most of the cost."""
    rollup = Rollup()
    rollup.fee = 10**20
    result = await desk(fees=rollup).decide(ScriptedSnapshot((pair(1),)))

    assert result.batches == []
    assert skips(result)[account(1)].reason is SkipReason.GAS_TOO_EXPENSIVE
    assert "wei for its data" in skips(result)[account(1)].detail
