"""A node that refuses the gas of a read gets less of it, and is read from all the same."""

import contextlib
import logging

import pytest

from keeper.chain.abi import encoded, word
from keeper.chain.capabilities import FIRST_RETRY_SECONDS, Capabilities, Capability
from keeper.chain.multicall import MULTICALL3, Limits
from keeper.chain.reader import connect
from keeper.chain.transport import Timeouts
from keeper.domain.errors import RpcRefused
from keeper.domain.head import Basis
from keeper.domain.reads import Call, CallResult
from tests.support.scripted_node import Refusal, ScriptedNode, nodes

TARGET = "0x" + "11" * 20
READ = Call(target=TARGET, data=b"\1")
FORTY_TWO = (42).to_bytes(32)
WORDS = {
    "its number": "transaction gas limit {gas} is greater than the cap ({cap})",
    "no number": "Block gas limit exceeded",
    "an error of the machine": "EVM error CallerGasLimitMoreThenBlock",
    "nothing of gas": "execution fatal: Module(ModuleError)",
}


class CappedNode(ScriptedNode):
    """Runs calls with at most ``cap`` gas; ``asked_gas`` has what each named, None for nothing."""

    def __init__(self, cap, words="its number", **options):
        super().__init__(height=5, **options)
        self.cap = cap
        self.words = WORDS[words]
        self.needs_more = False
        self.asked_gas = []
        self.handlers |= {"eth_call": self.call, "eth_estimateGas": self.estimate}

    def call(self, params):
        self.check(params[0])
        if params[0]["to"] != MULTICALL3:
            return "0x" + FORTY_TWO.hex()
        count = word(bytes.fromhex(params[0]["data"][10:]), 1)
        results = [(True, FORTY_TWO)] * count
        return "0x" + encoded(("(bool,bytes)[]",), [results]).hex()

    def estimate(self, params):
        self.check(params[0])
        return hex(21_000)

    def check(self, transaction):
        gas = int(transaction["gas"], 16) if "gas" in transaction else None
        self.asked_gas.append(gas)
        if gas is not None and gas > self.cap:
            raise Refusal(self.words.format(gas=gas, cap=self.cap))
        if self.needs_more:
            raise Refusal("out of gas")


@contextlib.asynccontextmanager
async def reading(node, clock=None, **options):
    times = Timeouts(connect=5.0, request=20.0, reads=20.0)
    async with nodes(node), connect([node.http], chain_id=1, timeouts=times, **options) as reader:
        if clock is not None:
            reader.rpc.capabilities = Capabilities(clock)
        yield reader, Basis(block_hash=node.at(5)["hash"])


@pytest.mark.parametrize("cap", [2**24, 25_000_000, 10_000_000, 500_000])
@pytest.mark.parametrize("words", WORDS)
async def test_every_read_goes_on_with_less_gas(words, cap):
    """A keeper that ended over a field that most nodes ignore would need another provider."""
    node = CappedNode(cap, words)
    async with reading(node) as (reader, basis):
        assert (
            await reader.aggregate([READ] * 3, basis)
            == [CallResult(success=True, data=FORTY_TWO)] * 3
        )
        assert await reader.call(READ, basis) == FORTY_TWO
        assert await reader.estimate_gas({"to": TARGET, "gas": hex(45_000_000)}, basis) == 21_000
        learnt = reader.rpc.capabilities.lack(0, Capability.CALL_GAS)
        assert learnt is not None

        node.asked_gas.clear()
        await reader.aggregate([READ] * 3, basis)
        await reader.call(READ, basis)

    assert len(node.asked_gas) == 2  # what was learnt is not tried again
    assert all(gas is None or gas <= cap for gas in node.asked_gas)


@pytest.mark.parametrize("words", WORDS)
async def test_reads_that_go_call_by_call_are_asked_again_with_less(words):
    """Without Multicall3 the refusal is an entry of a batch, and concerns each of them."""
    node = CappedNode(10_000_000, words)
    async with reading(node, multicall=None) as (reader, basis):
        for _ in range(2):
            results = await reader.aggregate([READ] * 250, basis)
            assert results == [CallResult(success=True, data=FORTY_TWO)] * 250


async def test_a_call_that_needs_more_gas_is_not_a_cap():
    """Its gas stays: with less it would only fail sooner."""
    node = CappedNode(2**40)
    node.needs_more = True
    async with reading(node) as (reader, basis):
        with pytest.raises(RpcRefused, match="out of gas"):
            await reader.call(READ, basis)

    assert node.asked_gas == [45_000_000]
    assert reader.rpc.capabilities.lacks() == []


async def test_a_call_that_fails_with_less_gas_has_been_run():
    """The cap is learnt all the same: the aggregate it belongs to is cut, not asked higher."""
    node = CappedNode(2**24)
    node.needs_more = True
    async with reading(node) as (reader, basis):
        with pytest.raises(RpcRefused, match="out of gas"):
            await reader.call(READ, basis)

    assert reader.rpc.capabilities.limit(0, Capability.CALL_GAS) == 2**24


async def test_a_node_that_refuses_every_call_says_so_in_its_first_words():
    """The search for a gas that it takes must not hide why it refuses."""

    def refuse(params):
        raise Refusal(f"gas limit too high: {int(params[0].get('gas', '0x0'), 16)}")

    node = ScriptedNode(height=5, handlers={"eth_call": refuse})
    async with reading(node) as (reader, basis):
        with pytest.raises(RpcRefused, match="45000000"):
            await reader.call(READ, basis)

    assert reader.rpc.capabilities.lacks() == []


async def test_a_refusal_that_passes_teaches_nothing():
    """A node that fails once in a while has no cap."""
    failures = iter([True])

    def call(_):
        if next(failures, False):
            raise Refusal("internal error", -32603)
        return "0x" + FORTY_TWO.hex()

    node = ScriptedNode(height=5, handlers={"eth_call": call})
    async with reading(node) as (reader, basis):
        assert await reader.call(READ, basis) == FORTY_TWO

    assert reader.rpc.capabilities.lacks() == []


async def test_the_cap_is_said_once_and_tried_again(caplog):
    """A provider may lift it; until then one line is enough."""
    now = [0.0]
    node = CappedNode(2**24)
    with caplog.at_level(logging.WARNING):
        async with reading(node, lambda: now[0]) as (reader, basis):
            for _ in range(3):
                await reader.call(READ, basis)
            now[0] += FIRST_RETRY_SECONDS
            await reader.call(READ, basis)
            node.cap = 2**40
            now[0] += 2 * FIRST_RETRY_SECONDS
            await reader.call(READ, basis)

            assert node.asked_gas[-1] == 45_000_000
            assert reader.rpc.capabilities.lacks() == []

    assert sum("endpoint_lacks" in line for line in caplog.messages) == 1


async def test_each_endpoint_has_its_own_cap():
    """A poor endpoint does not take gas from the reads of a good one."""
    poor, good = CappedNode(2**24), CappedNode(2**40)
    async with nodes(poor, good), connect([poor.http, good.http], chain_id=1) as reader:
        basis = Basis(block_hash=poor.at(5)["hash"])
        for endpoint in (0, 1):
            with reader.rpc.only(endpoint):
                await reader.call(READ, basis)

    assert poor.asked_gas == [45_000_000, 2**24]
    assert good.asked_gas == [45_000_000]


async def test_a_small_limit_of_ones_own_is_never_raised():
    """Whoever asks with little gas gets little, whatever the node would take."""
    node = CappedNode(2**24)
    async with reading(node, limits=Limits(gas=2_000_000)) as (reader, basis):
        await reader.call(READ, basis)

    assert node.asked_gas == [2_000_000]
