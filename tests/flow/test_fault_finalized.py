"""Where no node says what is final, the number of confirmations does."""

import contextlib
import logging

import pytest

from keeper.chain.capabilities import FIRST_RETRY_SECONDS, Capabilities, Capability
from keeper.chain.fields import head_of
from keeper.chain.quorum import Quorum
from keeper.chain.reader import connect
from keeper.chain.transport import Timeouts
from keeper.domain.submission import NonceState
from keeper.execution.finality import ASK_AGAIN_BLOCKS
from tests.flow.test_submit_recovery import World
from tests.support.lacking import LACKS, lacking
from tests.support.scripted_node import ScriptedNode, Silence, nodes
from tests.support.scripted_submission import batch, head, unhealthy


def without_tag(kind, height=9):
    """A node that answers blocks by number and by other tags, but not this one."""
    node = ScriptedNode(height=height)
    refuse = kind if callable(kind) else lacking(kind)

    def by_number(params):
        return refuse(params) if params[0] == "finalized" else node.tagged(params[0])

    node.handlers["eth_getBlockByNumber"] = by_number
    return node


@contextlib.asynccontextmanager
async def reading(*made, clock=None):
    times = Timeouts(connect=5.0, request=20.0, reads=5.0)
    async with nodes(*made), connect([one.http for one in made], timeouts=times) as reader:
        if clock is not None:
            reader.rpc.capabilities = Capabilities(clock)
        for node in made:
            reader.rpc.pool.hand_on(head_of(node.at(node.height)))
        yield reader


@pytest.mark.io
@pytest.mark.parametrize("kind", LACKS)
async def test_a_node_that_tells_nothing_final_is_asked_once(kind, caplog):
    """Said once, and no request of later blocks is spent on it."""
    node = without_tag(kind)
    with caplog.at_level(logging.WARNING):
        async with reading(node) as reader:
            assert await reader.finalized() is None
            asked = node.asked["eth_getBlockByNumber"]
            assert await Quorum(reader).finalized() is None
            assert node.asked["eth_getBlockByNumber"] == asked

    assert sum("endpoint_lacks" in line for line in caplog.messages) == 1


@pytest.mark.io
async def test_a_node_that_never_answers_the_tag_holds_nothing_up():
    """It is optional, and is not waited for as a block is."""

    def silent(_):
        raise Silence

    async with reading(without_tag(silent)) as reader:
        assert await reader.finalized() is None


@pytest.mark.io
async def test_the_first_block_is_not_final_for_ever():
    """Some chains answer block 0 to the tag: nothing would ever become final."""
    old, young = ScriptedNode(height=5_000, final=0), ScriptedNode(height=50, final=0)
    async with reading(old) as reader:
        assert await reader.finalized() is None
    async with reading(young) as reader:
        assert (await reader.finalized()).number == 0


@pytest.mark.io
async def test_another_endpoint_that_tells_it_is_asked_and_the_poor_one_later_again():
    """What one endpoint lacks the other one has; a node that was upgraded is used."""
    now = [0.0]
    poor, good = without_tag("no such method"), ScriptedNode(height=9, final=4)
    async with reading(poor, good, clock=lambda: now[0]) as reader:
        assert (await reader.finalized()).number == 4
        assert reader.rpc.capabilities.lack(0, Capability.FINALIZED) is not None
        poor.handlers.clear()
        now[0] += FIRST_RETRY_SECONDS
        await reader.finalized()

    assert reader.rpc.capabilities.lacks() == []


async def test_a_tag_that_disappears_in_mid_run_leaves_it_to_the_depth(caplog):
    """Else nothing after that block would ever be final, and its nonces be followed for ever."""
    world = World()
    world.chain.final = head(9)
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)
    await world.submitter.follow(head(11), unhealthy)
    world.chain.final = None
    for number in range(12, 12 + 3 * ASK_AGAIN_BLOCKS + 12):
        await world.submitter.follow(head(number), unhealthy)

    assert world.journal.kept[0].state is NonceState.FINAL
    assert caplog.text.count("finality_by_depth") == 1


async def test_a_tag_that_is_missing_once_changes_nothing():
    """One null of a node that restarts does not make a shallow block final."""
    world = World()
    world.chain.final = head(9)
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)
    await world.submitter.follow(head(11), unhealthy)
    asked = 0

    async def finalized():
        nonlocal asked
        asked += 1
        return None if asked % 2 else head(9)

    world.chain.finalized = finalized
    for number in range(12, 12 + 6 * ASK_AGAIN_BLOCKS):
        await world.submitter.follow(head(number), unhealthy)

    assert asked > 2
    assert world.journal.kept[0].state is NonceState.INCLUDED
