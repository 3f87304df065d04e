"""Which chain an endpoint serves is known also where it does not say so by eth_chainId."""

import contextlib

import pytest

from keeper.chain.capabilities import Capability
from keeper.chain.multicall import MULTICALL3
from keeper.chain.quorum import Quorum
from keeper.chain.reader import connect
from keeper.chain.standing import State
from keeper.chain.transport import Timeouts
from keeper.domain.errors import ConfigError, RpcMalformed, RpcUnavailable
from tests.support.lacking import LACKS, lacking
from tests.support.scripted_node import ScriptedNode, nodes

ME = "0x" + "11" * 20
CODE = bytes.fromhex("6001600255")


def connected(*made, chain_id=1, **options):
    times = Timeouts(connect=5.0, request=20.0, reads=0.5)
    return connect([one.http for one in made], chain_id=chain_id, timeouts=times, **options)


def nameless(kind, network="1", **options):
    """A node that does not answer eth_chainId; ``network`` is its net_version."""
    node = ScriptedNode(height=9, **options)
    node.handlers |= {"eth_chainId": lacking(kind), "net_version": lambda _: network}
    return node


@pytest.mark.parametrize("network", ["1", "0x1"])
@pytest.mark.parametrize("kind", LACKS)
async def test_the_networks_id_stands_in_for_the_chains(kind, network):
    """Nearly every chain has one number for both."""
    async with nodes(nameless(kind, network)) as (node,), connected(node) as reader:
        assert (await reader.head()).number == 9
        assert await reader.chain_id() == 1
        assert reader.rpc.capabilities.lack(0, Capability.CHAIN_ID) is not None


async def test_another_network_is_another_chain():
    """The second way is as strict as the first."""
    async with nodes(nameless("no such method", "5")) as (node,):
        with pytest.raises(ConfigError, match="serves chain 5, not 1"):
            async with connected(node):
                pass


@pytest.mark.parametrize("kind", ["no such method", "null"])
async def test_a_node_that_says_nothing_of_its_chain_is_not_believed(kind):
    """Signing for a chain that nobody named could spend money on another."""
    async with nodes(nameless(kind)) as (node,):
        node.handlers["net_version"] = lacking(kind)
        with pytest.raises((RpcUnavailable, RpcMalformed)) as caught:
            async with connected(node):
                pass
    assert "chain" in str(caught.value)
    assert "is the node running" not in caught.value.hint


async def test_one_that_said_it_once_is_read_from_when_it_says_nothing_any_more():
    """Methods that are taken away in mid-run do not take the endpoint away."""
    async with nodes(ScriptedNode(height=9)) as (node,), connected(node) as reader:
        node.handlers |= {
            "eth_chainId": lacking("not allowed"),
            "net_version": lacking("not allowed"),
        }
        await reader.rpc.identify(0)
        assert (await reader.head()).number == 9
        assert reader.rpc.pool.standings[0].state is State.ALIVE


def shows(seen, runs=CODE):
    """A node that shows one code by its method, and has another one for the machine."""
    node = ScriptedNode(height=9)
    node.handlers |= {
        "eth_getCode": lambda _: "0x" + seen.hex(),
        "eth_call": lambda _: "0x00" + runs.hex(),
    }
    return node


async def test_a_node_that_shows_no_code_is_not_taken_for_another_chain():
    """What its machine has at the address counts."""
    good, poor = shows(CODE), shows(b"")
    async with nodes(good, poor), connected(good, poor, multicall=MULTICALL3) as reader:
        await reader.rpc.identify(0)
        await reader.rpc.identify(1)
        assert [one.state for one in reader.rpc.pool.standings] == [State.ALIVE] * 2
        assert reader.rpc.capabilities.lack(1, Capability.CODE) is not None


async def test_one_that_runs_other_code_is_another_chain():
    """A fork of the same id, or a testing chain, has its own contracts."""
    good, other = shows(CODE), shows(b"", runs=b"")
    async with nodes(good, other), connected(good, other, multicall=MULTICALL3) as reader:
        await reader.rpc.identify(0)
        with contextlib.suppress(Exception):
            await reader.rpc.identify(1)
        assert reader.rpc.pool.standings[1].state is State.WRONG_CHAIN


@pytest.mark.parametrize("kind", sorted(set(LACKS) - {"a limit", "too often"}))
async def test_a_node_that_does_not_count_its_blocks_is_read_from(kind):
    """The newest header has the number, too. (One that asks for patience is left alone.)"""
    one, two = (ScriptedNode(height=9, nonce=nonce) for nonce in (3, 4))
    for node in (one, two):
        node.handlers["eth_blockNumber"] = lacking(kind)

        def count(params, node=node):
            return hex(3) if params[1] != "latest" else hex(node.nonce)

        node.handlers["eth_getTransactionCount"] = count
    async with nodes(one, two), connected(one, two) as reader:
        await reader.rpc.identify(1)
        assert await Quorum(reader).transaction_count(ME) == 3
