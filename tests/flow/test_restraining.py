"""What `keeper explain` knows of the policy's waiting: as much as a keeper remembers."""

from dataclasses import replace

import pytest

from keeper.margin.settings import COMPETITIVE, GUARDIAN
from keeper.stages.restraining import Policy, policy_of
from keeper.storage import episodes
from tests.flow.test_margin_calls import Snapshot, World, a_head
from tests.unit.margin.story import someone, subject

HERE = replace(GUARDIAN, both_clocks=False)


@pytest.fixture
async def guarded(tmp_path):
    made = World(tmp_path / "keeper.sqlite", GUARDIAN)
    await made.reopened()
    yield made
    made.database.close()


async def asked(world, number, price=1_990, settings=HERE, state=None):
    kept = state or await world.database.write(episodes.state_of)
    head = a_head(number)
    return await policy_of(settings, kept, head, [Snapshot(head, price, world.debts)], someone(1))


@pytest.mark.slow
async def test_it_is_what_the_running_keeper_said(guarded):
    """At the block that the keeper did last, and at the next one, from its file."""
    for price in [2_600] + [1_990] * 5:
        waits = await guarded.block(price)
    said = guarded.calls.inputs

    same = await asked(guarded, 6)
    later = await asked(guarded, 40)

    assert waits == {1: "policy_grace"}
    assert same.restraint.waits[subject(1)].reason == "policy_grace"
    assert said[1].hash == a_head(6).hash
    assert later.restraint.waits == {}
    assert "remembers of block 6" in same.basis


@pytest.mark.slow
async def test_what_nobody_remembers_is_said_to_be_left_out(guarded):
    """No file, or a block before what is remembered: no grace is made up."""
    await guarded.block(2_600)
    await guarded.block(1_990)
    state = await guarded.database.write(episodes.state_of)

    earlier = await asked(guarded, 1)
    nobody = await policy_of(
        HERE, None, a_head(2), [Snapshot(a_head(2), 1_990, {1: 1_600})], someone(1)
    )

    assert state.number == 2
    for one in (earlier, nobody):
        assert one.restraint.waits == {}
        assert "left out" in one.basis
    assert "--recorded" in earlier.basis


async def test_a_policy_without_waits_has_nothing_to_say(guarded):
    """Nor has any policy about an account short of the line."""
    await guarded.block(2_600)

    assert await asked(guarded, 2, settings=replace(COMPETITIVE, both_clocks=False)) == Policy()
    assert await asked(guarded, 2, price=2_600) == Policy()
