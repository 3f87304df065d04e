"""The real submitter over two endpoints: a contradiction signs nothing, and agreement does."""

import contextlib

import pytest

from keeper.chain.fields import head_of
from keeper.chain.pool import Pool
from keeper.chain.quorum import Quorum
from keeper.chain.reader import connect
from keeper.chain.standing import State
from keeper.chain.transport import Timeouts
from keeper.domain.errors import EndpointsDisagree, NotBroadcast
from keeper.execution.everywhere import SendsEverywhere
from keeper.observe.endpoints import tell_endpoints
from tests.support.scripted_node import ScriptedNode, nodes, until
from tests.support.scripted_submission import World, batch


@contextlib.asynccontextmanager
async def world_over(*made):
    times = Timeouts(connect=5.0, request=5.0, reads=5.0)
    async with nodes(*made):
        places = [one.http for one in made]
        async with connect(places, chain_id=1, timeouts=times) as reader:
            await until(lambda: all(one.state is State.ALIVE for one in reader.rpc.pool.standings))
            world = World()
            world.submitter.tracker.chain = Quorum(reader)
            world.submitter.node = SendsEverywhere(reader.rpc)
            world.submitter.broadcast.node = world.submitter.node
            yield world, reader


def lie_about_the_nonce(node):
    node.nonce = 1


def lie_about_the_block(node):
    node.fork(5, "b")


@pytest.mark.io
@pytest.mark.parametrize("lie", [lie_about_the_nonce, lie_about_the_block])
async def test_f10_nothing_is_signed_while_endpoints_contradict(lie):
    """Neither nonce nor block may come from the one that happens to be asked first."""
    first, second = ScriptedNode(height=5), ScriptedNode(height=5)
    async with world_over(first, second) as (world, reader):
        head = head_of(first.at(5))
        lie(second)
        with pytest.raises(NotBroadcast, match="endpoints disagree"):
            await world.submitter.submit([batch()], head)
        signed = list(world.diary)
        second.nonce = 0
        second.blocks.clear()
        await world.submitter.submit([batch()], head)
        await until(lambda: first.sent and second.sent)

        assert signed == []
        assert reader.rpc.pool.disagreements.counts.total() == 1
        assert len(first.sent) == len(second.sent) == 1
        assert first.sent == second.sent


@pytest.mark.io
async def test_f10_what_is_signed_already_leaves_again_while_endpoints_contradict():
    """The same bytes cannot hurt, and one of the nodes may have lost them; nothing is bid up."""
    first, second = ScriptedNode(height=5), ScriptedNode(height=5)
    async with world_over(first, second) as (world, _):
        await world.submitter.submit([batch()], head_of(first.at(5)))
        await until(lambda: first.sent and second.sent)
        for node in (first, second):
            await node.mine(9)
        lie_about_the_nonce(second)
        with pytest.raises(EndpointsDisagree):
            await world.submitter.follow(head_of(first.at(9)), lambda *_: True)
        await until(lambda: len(first.sent) == len(second.sent) == 2)

        assert len(set(first.sent + second.sent)) == 1
        assert len(world.submitter.tracker.book[0].attempts) == 1


@pytest.mark.parametrize(("endpoints", "said"), [(1, True), (2, False)])
async def test_one_endpoint_is_told_to_be_no_quorum_at_the_start(caplog, endpoints, said):
    """Whoever signs by one node's word should know it."""
    pool = Pool([f"node {number}" for number in range(endpoints)])
    tell_endpoints(pool, lambda _: None, signing=True)

    assert ("degraded: no quorum" in caplog.text) is said
