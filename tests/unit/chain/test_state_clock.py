"""An older block's state is noticed by its time, where an endpoint states that rightly."""

import pytest

from keeper.chain.capabilities import Capability
from keeper.chain.fields import head_of
from keeper.chain.reader import NodeReader
from keeper.chain.state_clock import StateClock
from keeper.domain.errors import BlockUnknown
from keeper.domain.head import Basis
from keeper.domain.reads import CallResult
from tests.support.scripted_node import Refusal, ScriptedNode, block
from tests.unit.chain.test_pinning import pinning

NEWEST = 20
MULTICALL = "0x" + "ca" * 20


def a_head(number):
    return head_of(block(number))


def stating(time):
    return CallResult(success=True, data=time.to_bytes(32))


def node_with(offset):
    """A node whose calls state the time of a block that is so many before the one named."""

    def call(params):
        named = params[1]["blockHash"]
        number = next(one for one in range(NEWEST + 1) if block(one)["hash"] == named)
        return "0x" + (1000 + number - offset).to_bytes(32).hex()

    return ScriptedNode(height=NEWEST, handlers={"eth_call": call})


async def judged(node, result, *, known=range(NEWEST + 1), pin=None):
    """Have the clock judge a result at the newest block; the reader's capabilities are returned."""
    async with pinning(node) as (rpc, _, _):
        for number in known:
            rpc.pool.blocks.note(a_head(number))
        clock = StateClock(NodeReader(rpc).reads, MULTICALL)
        basis = Basis(block_hash=a_head(NEWEST).hash)
        await clock.refuse_stale(result, 0, pin or {"blockHash": basis.block_hash}, basis)
        return rpc


async def test_the_time_of_an_older_block_is_refused():
    """Where the endpoint is found to state a block's own time for a block that it surely has."""
    with pytest.raises(BlockUnknown, match="older state"):
        await judged(node_with(0), stating(1000 + NEWEST - 1))


@pytest.mark.parametrize("time", [1000 + NEWEST, 1000 + NEWEST + 1, 2**63])
async def test_the_blocks_own_time_and_a_later_one_are_taken(time):
    """Some chains run calls in a block of their own, after the one that is named."""
    node = node_with(0)

    await judged(node, stating(time))

    assert node.asked["eth_call"] == 0


@pytest.mark.parametrize(
    "result", [CallResult(success=False, data=b""), CallResult(success=True, data=b"")]
)
async def test_a_contract_that_states_no_time_is_not_judged_by_it(result):
    """Another Multicall, or none: reads without it are as good as they were."""
    await judged(node_with(0), result)


@pytest.mark.parametrize("offset", [1000, -5])
async def test_an_endpoint_whose_calls_have_another_time_is_believed_and_told_of(offset):
    """Every block would be refused for ever, though the state is right."""
    rpc = await judged(node_with(offset), stating(1000 + NEWEST - 1))

    assert [lack.capability for lack in rpc.capabilities.lacks()] == [Capability.STATE_CLOCK]


async def test_an_endpoint_that_states_older_times_throughout_is_late_at_first():
    """It may have the older block a moment later; after a while it is how it states them."""
    async with pinning(node_with(1)) as (rpc, _, _):
        for number in range(NEWEST + 1):
            rpc.pool.blocks.note(a_head(number))
        now = [0.0]
        rpc.pool.clock = lambda: now[0]
        clock = StateClock(NodeReader(rpc).reads, MULTICALL)
        basis = Basis(block_hash=a_head(NEWEST).hash)
        asked = (stating(1000 + NEWEST - 1), 0, {"blockHash": basis.block_hash}, basis)
        for now[0] in (0.0, 9.0):
            with pytest.raises(BlockUnknown):
                await clock.refuse_stale(*asked)
        assert not rpc.capabilities.lacks()
        now[0] = 10.0
        await clock.refuse_stale(*asked)

    assert [lack.capability for lack in rpc.capabilities.lacks()] == [Capability.STATE_CLOCK]


async def test_without_a_block_to_test_the_clock_by_nothing_is_refused():
    """The first block after a start, before its ancestors are known."""
    await judged(node_with(0), stating(1000 + NEWEST - 1), known=[NEWEST])


async def test_a_refused_test_of_the_clock_refuses_nothing():
    """The endpoint fails at this very moment."""

    def refused(_):
        raise Refusal("no", 35)

    node = ScriptedNode(height=NEWEST, handlers={"eth_call": refused})
    rpc = await judged(node, stating(1000 + NEWEST - 1))

    assert not [one for one in rpc.capabilities.lacks() if one.capability is Capability.STATE_CLOCK]


async def test_an_endpoint_that_is_told_numbers_is_tested_by_a_number():
    """It takes no hash."""
    asked = []

    def call(params):
        asked.append(params[1])
        return "0x" + (1000 + int(params[1], 16)).to_bytes(32).hex()

    node = ScriptedNode(height=NEWEST, handlers={"eth_call": call})
    with pytest.raises(BlockUnknown):
        await judged(node, stating(1000 + NEWEST - 1), pin=hex(NEWEST))

    assert asked == [hex(NEWEST - 8)]
