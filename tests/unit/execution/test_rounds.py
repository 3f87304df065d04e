"""Rounds of one account after they have left: failures, bumps, parts of a transaction."""

from dataclasses import replace

import pytest

from keeper.composition.splitting import batch_splitter
from keeper.domain.plan import SimulatedBatch, SimulatedPlan
from keeper.domain.submission import AttemptKind, Inclusion, NonceState, PlanOutcome, Submission
from keeper.execution.cooling import Cooling
from keeper.execution.fees import FeePolicy, fee_cap
from keeper.strategy.gas import GasModel
from tests.flow.scripted_market import ScriptedExecutor
from tests.support.scripted_submission import GWEI, MARKET, World, account, batch, head, plan

DEFECT = "Error(trap)"
FIRST, SECOND, OTHER = plan(1), replace(plan(1), spend=7), plan(2)


def mined(*failures):
    plans = (FIRST, SECOND)
    outcomes = tuple(
        PlanOutcome(
            market=one.market,
            account=one.account,
            token=one.spend_token,
            profit=0,
            profit_wei=0,
            failure=failure,
        )
        for one, failure in zip(plans, failures, strict=True)
    )
    inclusion = Inclusion(
        hash="0x1",
        block_number=10,
        block_hash=head(10).hash,
        success=True,
        gas_used=1,
        effective_gas_price=1,
        plans=outcomes,
    )
    return Submission(
        nonce=0, batch=batch(*plans), attempts=(), state=NonceState.INCLUDED, inclusion=inclusion
    )


@pytest.mark.parametrize(
    ("failures", "times"),
    [((DEFECT, DEFECT), 1), ((DEFECT, ""), 1), (("", DEFECT), 1), (("", ""), 0)],
)
def test_an_account_fails_once_in_a_transaction(failures, times):
    """What rests on a round that failed says nothing more; what failed itself counts."""
    cooling = Cooling(blocks=3)

    cooling.note(mined(*failures))

    waits = cooling.waits(head(11))
    assert set(waits) == ({(MARKET, account(1))} if times else set())
    assert all(f"{times} in a row" in wait.detail for wait in waits.values())


def answering(*failures):
    async def run(submissions, _head):
        steps = tuple(SimulatedPlan(profit=1, failure=failure) for failure in failures)
        return {one.nonce: SimulatedBatch(plans=steps, gas_used=1) for one in submissions}

    return run


async def bumped(*failures):
    """Return the newest fee after a simulation says so of first, second and other plan."""
    world = World(FeePolicy(max_fee=10**6 * GWEI), rehearse=answering(*failures))
    await world.submitter.submit([batch(FIRST, SECOND, OTHER)], head(10))
    await world.submitter.follow(head(12), lambda *_: True)
    return world.book[0]


async def test_a_round_that_would_fail_costs_a_bump_nothing_but_its_own_profit():
    """The first round still earns; before, any failure of the account took both away."""
    found = await bumped("", "late", "late")

    assert found.newest.kind is AttemptKind.BUMP
    plans = found.batch.plans
    assert found.newest.fees.max_fee <= fee_cap(found.batch, FeePolicy(), plans[:1])


async def test_a_round_is_not_bid_for_where_the_one_before_would_fail():
    """It was planned on what that one leaves: all that is left is to cancel."""
    found = await bumped("late", "", "late")

    assert found.newest.kind is AttemptKind.CANCEL


def test_a_divided_transaction_keeps_no_round_without_its_first():
    """An account has one transaction at a time: what comes again of it waits for a block."""
    executor = ScriptedExecutor(name=batch().executor)
    split = batch_splitter({executor.name: executor}, GasModel())

    halves = split(batch(FIRST, OTHER, replace(OTHER, spend=9), SECOND))

    assert [[one.account for one in half.plans] for half in halves] == [[account(1), account(2)]]
    together = split(batch(FIRST, SECOND, OTHER, replace(OTHER, spend=9)))
    assert [[one.account for one in half.plans] for half in together] == [
        [account(1)] * 2,
        [account(2)] * 2,
    ]
