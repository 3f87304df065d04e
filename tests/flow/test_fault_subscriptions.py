"""A node whose subscriptions are refused, or announce nothing, is polled, and tried again later."""

import asyncio
import contextlib
import logging

import pytest

from keeper.chain.capabilities import FIRST_RETRY_SECONDS, Capabilities, Capability
from keeper.chain.heads import Heads, Pace
from keeper.chain.listening import LEAST_SILENCE, Listener
from keeper.chain.reader import connect
from keeper.chain.transport import Timeouts
from tests.support.lacking import LACKS, lacking
from tests.support.scripted_node import ScriptedNode, nodes, until

QUICK = Pace(poll=0.01, silence=60.0, pause=0.01, longest_pause=0.02)
WARY = Pace(poll=0.01, silence=0.05, pause=0.01, longest_pause=0.02)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@contextlib.asynccontextmanager
async def following(node, clock, pace=QUICK):
    """Yield the reader and the heads of a node over its websocket."""
    times = Timeouts(connect=5.0, request=20.0, reads=5.0)
    async with nodes(node), connect([node.ws], chain_id=1, timeouts=times) as reader:
        reader.rpc.capabilities = Capabilities(clock)
        heads = Heads(reader, pace=pace).heads()
        async with contextlib.aclosing(heads), asyncio.timeout(60):
            await anext(heads)
            yield reader, heads


def lacks(reader):
    return reader.rpc.capabilities.lack(0, Capability.SUBSCRIPTIONS) is not None


async def reach(node, heads, number):
    """Mine a block and take heads until it is there."""
    await node.mine(number)
    async for head in heads:
        if head.number == number:
            return


@pytest.mark.io
@pytest.mark.parametrize("kind", sorted(set(LACKS) - {"a text"}))
async def test_refused_subscriptions_are_polled_for_said_once_and_tried_again(kind, caplog):
    """Whoever refuses them today may have them tomorrow: polling is later than being told."""
    clock, node = Clock(), ScriptedNode()
    node.handlers["eth_subscribe"] = lacking(kind)
    with caplog.at_level(logging.WARNING):
        async with following(node, clock) as (reader, heads):
            await reach(node, heads, 2)
            await until(lambda: lacks(reader))
            asked = node.asked["eth_subscribe"]
            await reach(node, heads, 3)
            assert node.asked["eth_subscribe"] == asked

            del node.handlers["eth_subscribe"]
            node.sockets.clear()  # none of what was refused is one
            clock.now += FIRST_RETRY_SECONDS
            await until(lambda: node.sockets)
            await reach(node, heads, 4)
            await until(lambda: not lacks(reader))

    assert sum("endpoint_lacks" in line for line in caplog.messages) == 1


@pytest.mark.io
async def test_a_refusal_in_mid_run_is_polled_over():
    """A balancer puts another node behind the name, which has none."""
    clock, node = Clock(), ScriptedNode()
    async with following(node, clock) as (reader, heads):
        await until(lambda: node.sockets)
        await reach(node, heads, 2)
        node.handlers["eth_subscribe"] = lacking("no such method")
        await node.drop()
        await reach(node, heads, 3)
        await until(lambda: lacks(reader))
        await reach(node, heads, 4)


@pytest.mark.io
@pytest.mark.parametrize("heard", [False, True])
async def test_subscriptions_that_announce_nothing_are_polled_over(heard):
    """Each block would be noticed as late as the silence lasts, for ever."""
    clock, node = Clock(), ScriptedNode(announces=heard)
    async with following(node, clock, WARY) as (reader, heads):
        await until(lambda: node.sockets)
        await reach(node, heads, 2)
        node.announces = False
        number = 2
        while not lacks(reader):
            number += 1
            await reach(node, heads, number)
        asked = node.asked["eth_subscribe"]
        await reach(node, heads, number + 1)

        assert node.asked["eth_subscribe"] == asked
        assert asked <= 4


@pytest.mark.io
async def test_a_quiet_chain_is_not_taken_for_a_deaf_subscription():
    """Where no block is made none can be announced."""
    clock, node = Clock(), ScriptedNode()
    async with following(node, clock, WARY) as (reader, heads):
        await until(lambda: node.sockets)
        before = node.asked["eth_getBlockByNumber"]
        await until(lambda: node.asked["eth_getBlockByNumber"] > before + 8)
        await reach(node, heads, 2)

        assert node.asked["eth_subscribe"] == 1
        assert not lacks(reader)


@pytest.mark.parametrize(
    ("gaps", "has_announced", "seconds"),
    [
        ([], False, LEAST_SILENCE),
        ([], True, 15.0),
        ([1.0, 1.1, 0.9], True, 3.3),
        ([0.2, 0.2], True, LEAST_SILENCE),
        ([12.0, 12.1], True, 15.0),
        ([12.0, 12.1], False, 15.0),
    ],
)
def test_a_subscription_is_in_doubt_by_the_pace_of_its_chain(gaps, has_announced, seconds):
    """Fifteen seconds are one block of one chain, and sixty of another."""
    listener = Listener(None, 0, Pace(), lambda *_: None, lambda _: None)
    listener.gaps.extend(gaps)

    assert listener.longest_silence(has_announced=has_announced) == pytest.approx(seconds)
