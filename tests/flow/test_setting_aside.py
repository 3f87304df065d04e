"""An account that fails every way in a simulation costs nothing in the next blocks."""

from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest

from keeper.domain.decision import Liquidate, Skip, SkipReason
from keeper.domain.restraint import Restraint, Wait
from keeper.stages.setting_aside import DOUBLINGS, FIRST_BLOCKS, SetAside
from keeper.strategy.attempts import MAX_ATTEMPTS
from tests.flow.scripted_market import (
    HEAD,
    MARKET,
    Desk,
    ScriptedExecutor,
    ScriptedSnapshot,
    account,
    pair,
)

REFUSED = "transfer refused"


class AnyHead(ScriptedExecutor):
    async def simulated(self, batches, head):
        return await super().simulated(batches, HEAD)


def stage(fails):
    executor = AnyHead(fails=fails)
    desk = Desk(executors={MARKET: executor})
    return SetAside(decide=partial(_decide, desk)), executor


async def _decide(desk, head, snapshots, in_flight=frozenset(), *, restraint):
    result = await desk.decide(*snapshots, in_flight=in_flight, restraint=restraint)
    result.head = head
    return result


async def at_block(stage, number, *numbers):
    head = replace(HEAD, number=number)
    snapshot = ScriptedSnapshot(tuple(pair(one) for one in numbers))
    return await stage(head, [snapshot])


def failing(*numbers, why=REFUSED):
    accounts = {account(number) for number in numbers}
    return lambda plan: why if plan.account in accounts else ""


async def test_what_failed_is_not_simulated_in_the_next_blocks():
    """The others are simulated once; the account is skipped for the failure, with the block."""
    aside, executor = stage(failing(1))
    await at_block(aside, 100, 1, 2)
    first = len(executor.rounds)
    executor.rounds.clear()

    result = await at_block(aside, 101, 1, 2)

    skip = next(one for one in result.decisions if isinstance(one, Skip))
    assert first > 1
    assert executor.rounds == [[[account(2)]]]
    assert (skip.account, skip.reason) == (account(1), SkipReason.SIMULATION_FAILED)
    assert REFUSED in skip.detail
    assert f"block {100 + FIRST_BLOCKS}" in skip.detail


@pytest.mark.slow
async def test_the_time_doubles_with_each_failure_in_a_row():
    """An account is looked at again, ever more seldom, but at a stated interval at last."""
    aside, executor = stage(failing(1))
    looked_at = []
    for block in range(100, 100 + FIRST_BLOCKS * 2 ** (DOUBLINGS + 3)):
        executor.rounds.clear()
        await at_block(aside, block, 1)
        if executor.rounds:
            looked_at.append(block)
            assert len(executor.rounds) <= MAX_ATTEMPTS

    gaps = [later - sooner for sooner, later in pairwise(looked_at)]
    assert gaps[: DOUBLINGS + 1] == [FIRST_BLOCKS << times for times in range(DOUBLINGS + 1)]
    assert set(gaps[DOUBLINGS:]) == {FIRST_BLOCKS << DOUBLINGS}


@pytest.mark.parametrize(
    "why", ["NotLiquidatable()", "BelowMinProfit(1, 2)", "the node does not run it: busy", "45"]
)
async def test_races_and_faults_of_the_node_set_nobody_aside(why):
    """Only a failure that would come again costs the account its next block."""
    aside, executor = stage(failing(1, why=why))
    await at_block(aside, 100, 1)
    executor.rounds.clear()

    await at_block(aside, 101, 1)

    assert executor.rounds


async def test_an_account_that_works_again_begins_anew():
    """A success in between, or a block in which it was healthy, forgets the failures."""
    aside, executor = stage(failing(1))
    await at_block(aside, 100, 1)
    executor.fails = failing()
    back = await at_block(aside, 100 + FIRST_BLOCKS, 1)
    executor.fails = failing(1)
    await at_block(aside, 110, 1)
    executor.rounds.clear()
    await at_block(aside, 110 + FIRST_BLOCKS, 1)
    again = len(executor.rounds)
    await at_block(aside, 120 + FIRST_BLOCKS, 2)
    executor.rounds.clear()
    await at_block(aside, 121 + FIRST_BLOCKS, 1)

    assert [type(one) for one in back.decisions] == [Liquidate]
    assert again
    assert executor.rounds


async def test_the_policys_own_word_comes_first():
    """An account that waits by the policy is told so, and is not forgotten meanwhile."""
    aside, executor = stage(failing(1))
    await at_block(aside, 100, 1)
    executor.rounds.clear()
    wait = Wait(reason=SkipReason.POLICY_GRACE, detail="grace")
    head = replace(HEAD, number=101)
    snapshot = ScriptedSnapshot((pair(1),))

    result = await aside(head, [snapshot], restraint=Restraint(waits={(MARKET, account(1)): wait}))
    later = await at_block(aside, 102, 1)

    assert result.decisions[0].reason is SkipReason.POLICY_GRACE
    assert later.decisions[0].reason is SkipReason.SIMULATION_FAILED
    assert not executor.rounds
