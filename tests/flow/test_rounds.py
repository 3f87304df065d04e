"""Further rounds through the whole pipeline: simulated with their account, cut by themselves."""

from dataclasses import dataclass, field, replace

import pytest

from keeper.audit.canonical import plain, restored
from keeper.composition.replay import _compare_decision
from keeper.domain.decision import Liquidate, Skip, SkipReason
from keeper.domain.plan import SimulatedBatch, SimulatedPlan
from keeper.strategy.policy import Policy
from tests.flow.scripted_market import (
    GAS_USED,
    MARKET,
    USD,
    Desk,
    ScriptedExecutor,
    ScriptedSnapshot,
    account,
    pair,
)
from tests.unit.strategy.test_rounds import chain

ROUNDS = Policy(rounds=4)
THREE = chain(account(1), 30_000, 20_000, 10_000)


def desk(executor=None, policy=ROUNDS):
    return Desk(executors={MARKET: executor or ScriptedExecutor()}, policy=policy)


def spent(plans):
    return [plan.spend // USD for plan in plans]


def sent(result):
    return [[(plan.account, plan.spend // USD) for plan in batch.plans] for batch in result.batches]


def fails(*debts):
    return lambda plan: "reverted" if plan.spend // USD in debts else ""


@dataclass
class Metered(ScriptedExecutor):
    """An executor that reports what each step used: ``used`` by the dollars that it spends."""

    used: dict = field(default_factory=dict)

    def _answer(self, batch):
        answer = super()._answer(batch)
        gas = [self.used.get(plan.spend // USD, GAS_USED) for plan in batch.plans]
        steps = tuple(
            SimulatedPlan(profit=one.profit, failure=one.failure, gas_used=each)
            for one, each in zip(answer.plans, gas, strict=True)
        )
        return SimulatedBatch(plans=steps, gas_used=sum(gas), failure=answer.failure)


async def test_all_rounds_that_pay_leave_together():
    """One transaction, one decision; what is simulated are the bytes that leave."""
    executor = ScriptedExecutor()

    result = await desk(executor).decide(ScriptedSnapshot((*THREE, pair(2, 25_000))))

    (batch,) = result.batches
    assert sent(result) == [
        [(account(1), 30_000), (account(2), 25_000), (account(1), 20_000), (account(1), 10_000)]
    ]
    assert executor.rounds == [[[plan.account for plan in batch.plans]]]
    told = {one.account: one for one in result.decisions}
    assert spent(told[account(1)].rounds) == [30_000, 20_000, 10_000]
    assert told[account(2)].further == ()
    assert batch.net_profit == sum(plan.net_profit for plan in batch.plans)


@pytest.mark.parametrize(("bad", "left"), [(20_000, [30_000]), (10_000, [30_000, 20_000])])
async def test_a_round_that_fails_ends_the_rounds_and_not_the_account(bad, left):
    """The first step's simulation was fine; its account is neither skipped nor barred a way."""
    executor = ScriptedExecutor(fails=fails(bad))

    result = await desk(executor).decide(ScriptedSnapshot((*THREE, pair(2, 25_000))))

    told = {one.account: one for one in result.decisions}
    assert spent(told[account(1)].rounds) == left
    assert isinstance(told[account(2)], Liquidate)
    assert len(executor.rounds) == 2


async def test_a_first_round_that_fails_is_blamed_alone():
    """What its later rounds do without it says nothing of them: another way has them again."""
    seen = []

    def fails_first_way(plan):
        way = plan.funding.name
        if plan.account == account(1) and not seen:
            seen.append(way)
        return "reverted" if plan.account == account(1) and way == seen[0] else ""

    executor = ScriptedExecutor(fails=fails_first_way)

    result = await desk(executor).decide(ScriptedSnapshot((*THREE, pair(2, 25_000))))

    told = {one.account: one for one in result.decisions}
    assert spent(told[account(1)].rounds) == [30_000, 20_000, 10_000]


async def test_an_account_whose_first_round_fails_every_way_is_skipped_for_that():
    """Its rounds are not sent without it."""
    executor = ScriptedExecutor(fails=lambda plan: "stuck" if plan.account == account(1) else "")

    result = await desk(executor).decide(ScriptedSnapshot((*THREE, pair(2, 25_000))))

    told = {one.account: one for one in result.decisions}
    assert isinstance(told[account(1)], Skip)
    assert told[account(1)].reason == SkipReason.SIMULATION_FAILED
    assert sent(result) == [[(account(2), 25_000)]]


async def test_a_round_that_does_not_pay_its_own_gas_is_cut():
    """By the gas that its step used in the simulation, whatever the others of it earn."""
    executor = Metered(used={20_000: 10**9})

    result = await desk(executor).decide(ScriptedSnapshot(THREE))

    (decision,) = result.decisions
    assert spent(decision.rounds) == [30_000]
    assert decision.plan.gas == GAS_USED


async def test_a_round_has_to_leave_the_policys_minimum():
    """One cent more than it nets, and the account has one step; one less, and it has two."""
    two = ScriptedSnapshot(chain(account(1), 30_000, 5_000))
    free = await desk(Metered(), policy=replace(ROUNDS, min_profit_usd_e8=0)).decide(two)
    _, second = free.batches[0].plans
    cents = second.net_profit * 2_000 * 100 // 10**18

    for more, rounds in ((-1, 2), (1, 1)):
        policy = replace(ROUNDS, min_profit_usd_e8=(cents + more) * 10**6)
        (decision,) = (await desk(Metered(), policy=policy).decide(two)).decisions
        assert len(decision.rounds) == rounds


async def test_who_fails_as_a_whole_is_found_round_by_round():
    """A transaction that says nothing is run again step by step; only the bad round goes."""
    executor = ScriptedExecutor(
        breaks=lambda batch: "out of gas" if len(batch.plans) > 2 else "", fails=fails(10_000)
    )

    result = await desk(executor).decide(ScriptedSnapshot(THREE))

    (decision,) = result.decisions
    assert spent(decision.rounds) == [30_000, 20_000]


async def test_rounds_can_be_turned_off():
    """One liquidation of an account at a block, as before."""
    result = await desk(policy=Policy()).decide(ScriptedSnapshot(THREE))

    assert sent(result) == [[(account(1), 30_000)]]


async def test_what_was_recorded_before_there_were_rounds_is_made_again_the_same():
    """Its policy names no rounds, and its decision has none: nothing differs."""
    result = await desk(policy=Policy()).decide(ScriptedSnapshot(THREE))
    (decision,) = result.decisions
    recorded = plain(decision)
    del recorded["further"]
    policy = plain(ROUNDS)
    del policy["rounds"]

    assert _compare_decision(decision, recorded) == []
    assert restored(Policy, policy).rounds == 1


async def test_another_number_of_rounds_is_a_difference():
    """A replay that plans more or less than was recorded is told so."""
    result = await desk().decide(ScriptedSnapshot(THREE))
    (decision,) = result.decisions

    (difference,) = _compare_decision(
        replace(decision, further=decision.further[:1]), plain(decision)
    )

    assert difference.field == "further"
