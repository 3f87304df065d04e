"""Heads from nodes that are silent, late, frozen, broken or in a hurry, over real sockets."""

import asyncio
import contextlib

import pytest
from aiohttp import web

from keeper.chain.heads import Heads, Pace
from keeper.chain.reader import connect
from keeper.chain.standing import Rules, State
from keeper.chain.transport import Timeouts
from keeper.composition.stalling import Stalling
from keeper.domain.errors import EnvironmentFault, RpcUnavailable
from keeper.domain.head import Head
from keeper.observe.stages import Stage, Unwatched
from tests.support.scripted_node import ScriptedNode, Silence, block, nodes, until


@contextlib.asynccontextmanager
async def following(*made, scheme="ws", silence=0.1, request=0.3, check_seconds=0.05):
    times = Timeouts(connect=5.0, request=request, reads=1.0)
    pace = Pace(poll=0.01, silence=silence, pause=0.01, longest_pause=0.05)
    async with nodes(*made):
        places = [getattr(one, scheme) for one in made]
        rules = Rules(lag_blocks=3)
        async with connect(places, chain_id=1, timeouts=times, rules=rules) as reader:
            heads = Heads(reader, pace=pace, check_seconds=check_seconds).heads()
            async with contextlib.aclosing(heads), asyncio.timeout(60):
                yield reader, heads


def subscribed(*made):
    return until(lambda: all(one.sockets for one in made))


@pytest.mark.io
async def test_f06_a_socket_that_swallows_everything_is_closed_and_opened_again():
    """Open, and pings answered by the library; but no answer and no head ever comes."""
    node = ScriptedNode()
    async with following(node) as (_, heads):
        await anext(heads)
        await subscribed(node)
        node.mute, node.announces = True, False
        node.height = 2
        await until(lambda: node.openings > 1)
        node.mute = False

        assert (await anext(heads)).number == 2


@pytest.mark.io
async def test_f06_a_slow_drip_is_cut_off_at_the_bound():
    """A byte now and then keeps a connection alive, and must not keep a read waiting."""
    node = ScriptedNode()
    async with following(node, scheme="http") as (reader, heads):
        await anext(heads)

        async def drip(request):
            response = web.StreamResponse()
            await response.prepare(request)
            for _ in range(100):
                await response.write(b" ")
                await asyncio.sleep(0.05)
            return response

        node.raw = drip
        with pytest.raises(RpcUnavailable, match="did not answer"):
            await reader.rpc.ask(0, "eth_blockNumber")
        node.raw = None


@pytest.mark.io
async def test_f06_half_open_is_found_out_by_the_other_endpoint_and_left():
    """One black hole of two: the heads go on, and the reads go elsewhere."""
    first, second = ScriptedNode(), ScriptedNode()
    async with following(first, second) as (reader, heads):
        await anext(heads)
        await subscribed(first, second)
        first.mute, first.announces = True, False
        for number in range(2, 8):
            await second.mine()
            assert (await anext(heads)).number == number
        await until(lambda: reader.rpc.pool.standings[0].state is not State.ALIVE)

        assert (await reader.head()).number == 7


@pytest.mark.io
async def test_f07_a_socket_that_closes_all_the_time_loses_no_newest_head():
    """Each new connection asks for what was missed before it listens again."""
    node = ScriptedNode()
    async with following(node) as (_, heads):
        head = await anext(heads)
        for number in range(2, 12):
            await node.drop()
            node.height = number
            while head.number < number:
                head = await anext(heads)
        assert head.number == 11


@pytest.mark.io
async def test_f07_an_abnormal_end_is_survived():
    """The connection is gone without a closing frame (1006)."""
    node = ScriptedNode()
    async with following(node) as (_, heads):
        await anext(heads)
        await subscribed(node)
        for socket in list(node.open_sockets):
            socket._req.transport.abort()  # noqa: SLF001 - aiohttp offers no other way
        node.height = 2

        assert (await anext(heads)).number == 2


@pytest.mark.io
async def test_f07_no_heads_while_pings_are_fine_is_found_by_asking():
    """Silence is checked against the node's own newest block, and the subscription is renewed."""
    node = ScriptedNode(announces=False)
    async with following(node) as (_, heads):
        await anext(heads)
        await subscribed(node)
        while node.asked["eth_subscribe"] == 1:
            node.height += 1
            assert (await anext(heads)).number == node.height


@pytest.mark.io
async def test_f07_a_burst_of_a_thousand_heads_leaves_the_newest_alone():
    """Nobody works on what is past; memory and time are bounded."""
    node = ScriptedNode()
    async with following(node, silence=60.0, request=30.0) as (_, heads):
        await anext(heads)
        await subscribed(node)
        for number in range(2, 1002):
            node.height = number
            await node.announce(node.at(number))
        taken = [await anext(heads)]
        while taken[-1].number < 1001:
            taken.append(await anext(heads))
        numbers = [one.number for one in taken]

        assert numbers == sorted(set(numbers))
        assert len(numbers) < 500


@pytest.mark.io
async def test_f07_duplicate_missing_and_disordered_heads_come_once_and_forward():
    """A head is decided on once, however often and in whatever order it is told."""
    node = ScriptedNode()
    async with following(node, silence=60.0) as (_, heads):
        await anext(heads)
        await subscribed(node)
        node.height = 9
        for number in (5, 3, 5, 9, 4, 9, 2, 9):
            await node.announce(node.at(number))
        node.height = 10
        await node.announce(node.at(10))
        taken = [await anext(heads)]
        while taken[-1].number < 10:
            taken.append(await anext(heads))
        numbers = [one.number for one in taken]

        assert numbers == sorted(set(numbers))


@pytest.mark.io
async def test_f07_the_same_head_from_three_endpoints_is_one_head():
    """Newest wins, whoever tells it."""
    made = [ScriptedNode() for _ in range(3)]
    async with following(*made) as (_, heads):
        await anext(heads)
        await subscribed(*made)
        taken = []
        for number in range(2, 6):
            for one in made:
                await one.mine(number)
            taken.append((await anext(heads)).number)

        assert taken == [2, 3, 4, 5]


@pytest.mark.io
async def test_f08_a_head_that_goes_backwards_is_not_taken_for_a_reorganisation():
    """A balancer's late node: the block is one of before, and nothing was replaced."""
    node = ScriptedNode(height=20)
    async with following(node, scheme="http") as (reader, heads):
        await anext(heads)
        for number in (21, 22, 23):
            await node.mine(number)
            await anext(heads)
        node.height = 21
        asked = node.asked["eth_getBlockByNumber"]
        await until(lambda: node.asked["eth_getBlockByNumber"] > asked + 5)
        node.height = 10
        asked = node.asked["eth_getBlockByNumber"]
        await until(lambda: node.asked["eth_getBlockByNumber"] > asked + 5)
        node.height = 24

        assert (await anext(heads)).number == 24
        assert reader.rpc.pool.current.number == 24


@pytest.mark.io
async def test_f08_a_shorter_chain_of_one_endpoint_does_not_replace_what_another_stands_on():
    """The newest head stands while somebody who is read from stands on it."""
    first, second = ScriptedNode(height=5), ScriptedNode(height=5)
    async with following(first, second, scheme="http") as (reader, heads):
        assert (await anext(heads)).number == 5
        second.fork(4, "b", to=4)
        await until(lambda: reader.rpc.pool.sightings[1].head.hash == block(4, "b")["hash"])
        assert reader.rpc.pool.current.hash == block(5)["hash"]
        first.fork(4, "b", to=4)

        assert (await anext(heads)).hash == block(4, "b")["hash"]


@pytest.mark.io
async def test_f08_a_frozen_node_falls_behind_the_others():
    """It answers every question, and its newest block never changes."""
    first, second = ScriptedNode(height=5), ScriptedNode(height=5)
    async with following(first, second, scheme="http") as (reader, heads):
        await anext(heads)
        await second.mine(20)
        assert (await anext(heads)).number == 20
        await until(lambda: reader.rpc.pool.standings[0].state is State.BEHIND)
        assert reader.rpc.pool.head_age(0) > 0


@pytest.mark.io
async def test_f06_an_endpoint_that_never_answers_does_not_hold_up_the_start():
    """The other one is good: the keeper begins, and looks at the silent one later."""
    silent, good = ScriptedNode(), ScriptedNode()

    def nothing(_):
        raise Silence

    silent.handlers["eth_chainId"] = nothing
    async with following(silent, good, scheme="http", request=30.0) as (reader, heads):
        assert (await anext(heads)).number == 1
        assert reader.rpc.pool.best() == 1


def a_head(number):
    return Head(
        number=number,
        hash=f"0x{number:064x}",
        parent_hash=f"0x{number - 1:064x}",
        timestamp=number,
        base_fee=7,
        gas_limit=30_000_000,
        gas_used=0,
    )


async def test_f06_a_run_that_gets_nowhere_ends_for_its_supervisor():
    """Blocks that come and are not worked on, or do not grow, are no progress."""
    stalling = Stalling(watch=Unwatched())

    async def busy_with_nothing():
        while True:
            stalling.passed(Stage.HEAD, a_head(7))
            stalling.passed(Stage.RECORDED, a_head(7))
            await asyncio.sleep(0.01)

    with pytest.raises(EnvironmentFault, match="no new block was worked on"):
        await stalling.unless_stalled(busy_with_nothing(), 0.3)


async def test_a_run_that_gets_on_is_left_alone_and_its_errors_are_its_own():
    """The bound is on progress, not on the time that a run takes."""
    stalling = Stalling(watch=Unwatched())

    async def working():
        for number in range(20):
            stalling.passed(Stage.RECORDED, a_head(number))
            await asyncio.sleep(0.1)
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await stalling.unless_stalled(working(), 1.5)
