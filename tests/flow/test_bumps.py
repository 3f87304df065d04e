"""Bumps are preceded by a simulation of the very bytes, at the fees that they will offer."""

import logging

import pytest

from keeper.domain.errors import NotBroadcast
from keeper.domain.plan import SimulatedBatch, SimulatedPlan
from keeper.domain.submission import AttemptKind
from keeper.domain.units import GWEI
from keeper.execution.fees import FeePolicy
from tests.support.scripted_submission import World, batch, head, plan, unhealthy

RICH = {"gross_profit": 10**19, "gross_profit_wei": 10**19}


class Rehearsals:
    """Simulations that go as they are told; keeps what was asked."""

    def __init__(self, failure="", gas=1):
        self.failure, self.gas, self.asked = failure, gas, []

    async def __call__(self, bound, at):
        self.asked.append((at.number, list(bound)))
        outcome = SimulatedPlan(profit=1, failure=self.failure)
        return {
            one.nonce: SimulatedBatch(plans=(outcome,) * len(one.batch.plans), gas_used=self.gas)
            for one in bound
            if one.batch is not None
        }


async def waiting(rehearse, *plans):
    world = World(FeePolicy(max_fee=10**6 * GWEI), rehearse=rehearse)
    await world.submitter.submit([batch(one) for one in plans], head(10))
    return world


def kinds(world, nonce=0):
    return [one.kind for one in world.book[nonce].attempts]


async def test_a_bump_is_simulated_with_all_lower_nonces_and_its_own_fees():
    """What runs is what is signed afterwards: calldata, gas limit and fees."""
    rehearse = Rehearsals()
    world = await waiting(rehearse, plan(0, **RICH), plan(1, **RICH))

    await world.submitter.follow(head(12), unhealthy)

    ((number, bound),) = rehearse.asked
    signed = [world.book[nonce].newest for nonce in (0, 1)]
    assert (number, [one.nonce for one in bound]) == (12, [0, 1])
    assert [one.kind for one in signed] == [AttemptKind.BUMP] * 2
    for submission, attempt in zip(bound, signed, strict=True):
        ran = submission.newest
        assert (ran.calldata, ran.gas_limit) == (attempt.calldata, attempt.gas_limit)
        assert ran.fees == attempt.fees


async def test_a_bump_by_hand_or_against_a_rival_is_simulated_too():
    """At a later block than the bytes left at; what fails is refused with its reason."""
    rehearse = Rehearsals(failure="position is healthy")
    world = await waiting(rehearse, plan(0, **RICH))
    await world.submitter.follow(head(11), unhealthy)

    with pytest.raises(NotBroadcast, match="would fail in the next block: position is healthy"):
        await world.submitter.bump(0)

    assert [number for number, _ in rehearse.asked] == [11]
    assert kinds(world) == [AttemptKind.SEND]


async def test_a_bump_at_the_block_that_it_left_at_needs_no_second_simulation():
    """It was simulated on that very state: a rival is answered at once."""
    rehearse = Rehearsals(failure="position is healthy")
    world = await waiting(rehearse, plan(0, **RICH))

    await world.submitter.bump(0, tip=3 * GWEI)

    assert rehearse.asked == []
    assert kinds(world) == [AttemptKind.SEND, AttemptKind.BUMP]


async def test_a_bump_whose_profit_does_not_cover_the_fee_is_refused_with_its_reason(caplog):
    """The transaction needs a hundred times the gas now: its old bytes stay the best offer."""
    rehearse = Rehearsals(gas=100 * plan(0).gas)
    world = await waiting(rehearse, plan(0, **RICH))

    with caplog.at_level(logging.WARNING):
        await world.submitter.follow(head(12), unhealthy)

    assert kinds(world) == [AttemptKind.SEND]
    assert "fee_cap_reached" in caplog.text
    assert "the profit does not cover more" in caplog.text
