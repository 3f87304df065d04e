"""Reads are aggregated on chains without Multicall3, and on nodes that run little else either."""

import json
import logging

import pytest

from contracts.build import CONTRACTS, READ_BUILDS, compiled
from keeper.chain.abi import checksum
from keeper.chain.capabilities import FIRST_RETRY_SECONDS, Capability
from keeper.chain.multicall import MULTICALL3
from keeper.chain.reader import connect
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.artifacts import multicall3_creation_code
from keeper.domain.errors import RpcRefused
from keeper.domain.head import Basis, CodeOverride
from keeper.domain.reads import Call, CallResult
from tests.support.proxy import running

# Returns the first word of its calldata; reverts with it where that is odd.
ECHO = bytes.fromhex("5f35805f52600116600f57" + "60205ff3" + "5b" + "60205ffd")
ECHOES = checksum("0x" + "ec" * 20)
SPENDS = checksum("0x" + "5b" * 20)
# Burns 100,000 gas, then returns 42.
SPENDS_100K = bytes.fromhex("5f5b6001018061080011600157602a5f5260205ff3")
NOBODY = checksum("0x" + "12" * 20)
COUNT = 700
FALSE_CODES = {
    "stops": "00",
    "reverts": "5f5ffd",
    "burns all gas": "fe",
    "returns a word": "60205f5260205ff3",
    "returns what it got": "365f5f37365ff3",
    "returns an empty list": "60205f5260405ff3",
    "returns more than it was asked for": "60205f52610800602052620100005ff3",
}


@pytest.fixture
def anvil():
    with start_anvil(AnvilOptions()) as node:
        yield node


@pytest.fixture
async def proxy(anvil):
    async with running(anvil.http) as made:
        yield made


def refuses(matches, code=-32000, message="not supported"):
    """Return a hook that refuses requests."""

    async def hook(request):
        if not matches(request["method"], request["params"]):
            return None
        answer = {"error": {"code": code, "message": message}} if code else {"result": None}
        return {"jsonrpc": "2.0", "id": request["id"], **answer}

    return hook


def has_overrides(method, params):
    return method == "eth_call" and len(params) > 2


def deploys(method, params):
    return method == "eth_call" and not params[0].get("to")


async def overlooks_overrides(request):
    if has_overrides(request["method"], request["params"]):
        del request["params"][2:]


async def prepared(reader, multicall=None):
    """Place the contracts that are read, and return the basis and the calls with their results."""
    await reader.rpc.request("anvil_setCode", ECHOES, "0x" + ECHO.hex())
    await reader.rpc.request("anvil_setCode", SPENDS, "0x" + SPENDS_100K.hex())
    if multicall is not None:
        await reader.rpc.request("anvil_setCode", MULTICALL3, "0x" + multicall)
    await reader.rpc.request("evm_mine")
    words = [number.to_bytes(32) for number in range(COUNT)]
    calls = [Call(target=ECHOES, data=word) for word in words]
    results = [CallResult(success=not word[-1] % 2, data=word) for word in words]
    return Basis(block_hash=(await reader.head()).hash), calls, results


def lacking(reader):
    return {lack.capability for lack in reader.rpc.capabilities.lacks()}


def test_the_committed_aggregator_is_what_its_source_compiles_to():
    """What runs by a read nobody would look at otherwise."""
    for build in READ_BUILDS:
        assert json.loads((CONTRACTS / "abi" / f"{build.name}.json").read_text()) == compiled(build)


async def test_without_multicall_an_aggregate_is_still_few_requests(anvil, proxy, caplog):
    """A chain without the contract costs no request more than one with it."""
    with caplog.at_level(logging.WARNING):
        async with connect([proxy.url]) as reader:
            basis, calls, results = await prepared(reader)
            assert await reader.aggregate(calls, basis) == results
            proxy.reset()
            for _ in range(2):
                assert await reader.aggregate(calls, basis) == results

            assert proxy.counts == {"eth_call": 4}
            assert lacking(reader) == {Capability.MULTICALL3}
    assert sum("endpoint_lacks" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("what", FALSE_CODES)
async def test_a_false_contract_at_the_address_is_not_believed(what, anvil, proxy):
    """A mistyped address, or a chain that has something else there, is no reason to end."""
    async with connect([proxy.url]) as reader:
        basis, calls, results = await prepared(reader, FALSE_CODES[what])
        assert await reader.aggregate(calls, basis) == results
        proxy.reset()
        assert await reader.aggregate(calls, basis) == results

        assert proxy.counts == {"eth_call": 2}
        assert lacking(reader) == {Capability.MULTICALL3}


@pytest.mark.parametrize(
    "hook",
    [
        overlooks_overrides,
        refuses(has_overrides, -32602, "too many arguments, want at most 2"),
        refuses(has_overrides, -32000, "state overrides are not supported"),
        refuses(has_overrides, -32601, "the method does not exist/is not available"),
        refuses(has_overrides, -32603, "internal error"),
    ],
)
async def test_without_state_overrides_the_aggregates_are_smaller(hook, anvil, proxy):
    """As a deployment the answer is bounded by a contract's greatest size."""
    proxy.hooks.append(hook)
    async with connect([proxy.url]) as reader:
        basis, calls, results = await prepared(reader)
        assert await reader.aggregate(calls, basis) == results
        proxy.reset()
        assert await reader.aggregate(calls, basis) == results

        assert proxy.counts["eth_call"] < 16
        assert lacking(reader) == {Capability.MULTICALL3, Capability.STATE_OVERRIDES}


async def test_a_node_that_runs_no_code_of_ours_is_read_call_by_call(anvil, proxy):
    """In batches: slower, and not the end."""
    proxy.hooks += [refuses(has_overrides), refuses(deploys)]
    async with connect([proxy.url]) as reader:
        basis, calls, results = await prepared(reader)
        assert await reader.aggregate(calls, basis) == results
        proxy.reset()
        assert await reader.aggregate(calls, basis) == results

        assert proxy.counts == {"eth_call": COUNT}
        assert lacking(reader) == {Capability.MULTICALL3, Capability.DEPLOYLESS}


@pytest.mark.parametrize("hooks", [[], [overlooks_overrides]])
async def test_an_aggregate_that_is_too_expensive_is_cut_without_multicall_too(hooks, anvil, proxy):
    """Each call fits; all of them together do not, in either form."""
    proxy.hooks += hooks
    async with connect([proxy.url]) as reader:
        basis, _, _ = await prepared(reader)
        results = await reader.aggregate([Call(target=SPENDS, data=b"")] * COUNT, basis)

    assert results == [CallResult(success=True, data=(42).to_bytes(32))] * COUNT


async def test_a_contract_that_is_deployed_later_is_used(anvil, proxy):
    """It is tried again after a while, and a block before it is still read."""
    now = [0.0]
    async with connect([proxy.url]) as reader:
        reader.rpc.capabilities.__init__(lambda: now[0])
        old, calls, results = await prepared(reader)
        assert await reader.aggregate(calls, old) == results
        code = await reader.deployless(multicall3_creation_code(), old)
        new, _, _ = await prepared(reader, code.hex())
        now[0] += FIRST_RETRY_SECONDS

        assert await reader.aggregate(calls, new) == results
        assert lacking(reader) == set()
        assert await reader.aggregate(calls, old) == results


async def test_a_node_that_refuses_every_call_says_why_and_teaches_nothing(anvil, proxy):
    """The first refusal is told: the later ways fail for the same reason."""
    async with connect([proxy.url]) as reader:
        basis, calls, _ = await prepared(reader)
        proxy.hooks.append(
            refuses(lambda method, _: method == "eth_call", -32000, "no calls today")
        )
        with pytest.raises(RpcRefused, match="no calls today"):
            await reader.aggregate(calls, basis)

        assert lacking(reader) == set()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32601, "method not found"),
        (-32600, "not allowed"),
        (35, "upgrade"),
        (-32000, "no"),
        (-32005, "limit exceeded"),
        (-32000, "header not found"),
        (None, ""),
    ],
)
async def test_code_and_balance_are_read_by_a_call_where_their_methods_are_refused(
    code, message, anvil, proxy
):
    """Whether there is a contract at all decides on starts, deployments and keys."""
    contract, delegated, full = (checksum("0x" + f"{n:02x}" * 20) for n in (0xC1, 0xC2, 0xC3))
    codes = {
        contract: ECHO,
        delegated: bytes.fromhex("ef0100" + "ab" * 20),
        full: bytes(range(256)) * 96,
        NOBODY: b"",
    }
    async with connect([proxy.url]) as reader:
        for address, placed in codes.items():
            await reader.rpc.request("anvil_setCode", address, "0x" + placed.hex())
        await reader.rpc.request("anvil_setBalance", NOBODY, hex(10**24 + 7))
        await reader.rpc.request("evm_mine")
        basis = Basis(block_hash=(await reader.head()).hash)
        methods = ("eth_getCode", "eth_getBalance")
        proxy.hooks.append(refuses(lambda method, _: method in methods, code, message))

        for address, placed in codes.items():
            assert await reader.code(address, basis) == placed
        assert await reader.balance(NOBODY, basis) == 10**24 + 7
        assert await reader.balance(contract, basis) == 0
        asked = proxy.counts["eth_getCode"]
        await reader.code(contract, basis)
        assert proxy.counts["eth_getCode"] == asked
        assert lacking(reader) == {Capability.CODE, Capability.BALANCE}


async def test_an_overlay_is_read_through_whatever_way_aggregates(anvil, proxy):
    """A simulation's own code must not be lost on a chain without Multicall3."""
    placed = CodeOverride(address=NOBODY, code=ECHO)
    async with connect([proxy.url]) as reader:
        basis, calls, results = await prepared(reader)
        basis = Basis(block_hash=basis.block_hash, overlay=(placed,))
        calls = [Call(target=NOBODY, data=call.data) for call in calls]

        assert await reader.aggregate(calls, basis) == results
