"""How a block is pinned, endpoint by endpoint, and never mixed between them."""

import contextlib
import json

import pytest

from keeper.chain.endpoint import endpoint
from keeper.chain.pinning import PinMode, Pinning
from keeper.chain.rpc import Rpc
from keeper.domain.errors import RpcRefused, RpcUnavailable
from tests.support.scripted_node import Refusal, ScriptedNode, Silence, block


class Direct:
    """A way to a scripted node without a socket; ``dead`` of True answers nothing."""

    streams = False
    generation = 0

    def __init__(self, node):
        self.node = node
        self.endpoint = endpoint("http://127.0.0.1:1")
        self.dead = False

    async def exchange(self, body, ids, timeout):  # noqa: ASYNC109 - the port's
        if self.dead:
            raise RpcUnavailable("gone")
        try:
            return self.node.answer(json.loads(body))
        except Silence:
            raise RpcUnavailable("silent") from None

    async def close(self):
        pass


def pins_by(*, hashes):
    """A node that takes a block's hash, or only its number."""

    def balance(params):
        if isinstance(params[1], dict) and not hashes:
            raise Refusal("invalid argument 1: json: cannot unmarshal object", -32602)
        return "0x1"

    return ScriptedNode(height=5, handlers={"eth_getBalance": balance})


@contextlib.asynccontextmanager
async def pinning(*made):
    ways = [Direct(one) for one in made]
    rpc = Rpc(ways, chain_id=1)
    await rpc.connect()
    for at in range(len(made)):
        await rpc.ensure_identified(at)
    yield rpc, Pinning(rpc), ways
    await rpc.close()


def balance(rpc):
    return lambda which: rpc.read("eth_getBalance", "0x" + "11" * 20, which)


async def test_each_endpoint_is_told_the_block_in_its_own_way():
    """A second node that wants numbers must not lame the first, nor break on what it proved."""
    async with pinning(pins_by(hashes=True), pins_by(hashes=False)) as (rpc, pins, ways):
        assert await pins.at(block(5)["hash"], balance(rpc)) == "0x1"
        assert pins.mode is PinMode.CANONICAL
        ways[0].dead = True
        assert await pins.at(block(5)["hash"], balance(rpc)) == "0x1"
        assert pins.mode is PinMode.NUMBER


async def test_by_number_one_endpoint_answers_all_three_questions():
    """Another one's block of that number is another block: it is asked all three, then."""
    first, second = pins_by(hashes=False), pins_by(hashes=False)
    async with pinning(first, second) as (rpc, pins, ways):
        await pins.at(block(5)["hash"], balance(rpc))
        second.asked.clear()

        async def dies_in_the_middle(which):
            ways[0].dead = True
            return await rpc.read("eth_getBalance", "0x" + "11" * 20, which)

        assert await pins.at(block(5)["hash"], dies_in_the_middle) == "0x1"
        assert ways[0].dead
        assert second.asked["eth_getBlockByNumber"] == 2


async def test_a_refusal_that_is_about_something_else_is_passed_on():
    """Only what concerns the block teaches anything about pinning."""

    def reverts(_):
        raise Refusal("execution reverted", 3)

    node = ScriptedNode(height=5, handlers={"eth_getBalance": reverts})
    async with pinning(node) as (rpc, pins, _):
        with pytest.raises(RpcRefused, match="reverted"):
            await pins.at(block(5)["hash"], balance(rpc))
        assert pins.mode is PinMode.CANONICAL
