"""The client against a real node, over each transport, and the proxy's rules before it."""

import asyncio

import pytest
from eth_account import Account

from keeper.chain.abi import calldata, checksum
from keeper.chain.multicall import MULTICALL3, Limits
from keeper.chain.reader import connect
from keeper.chain.sender import Sender
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.artifacts import multicall3_creation_code
from keeper.domain.errors import BlockUnknown, ConfigError, RpcRefused, RpcUnavailable
from keeper.domain.head import Basis, CodeOverride
from keeper.domain.reads import Call, CallResult, LogFilter
from tests.support.proxy import running

RICH = Account.from_key("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
NOBODY = checksum("0x" + "12" * 20)
RETURNS_42 = bytes.fromhex("602a5f5260205ff3")
REVERTS_42 = bytes.fromhex("602a5f5260205ffd")
BURNS_ALL_GAS = bytes.fromhex("fe")
SPENDS_100K = bytes.fromhex("5f5b6001018061080011600157") + RETURNS_42
EMITS_LOG = bytes.fromhex("60015fa0") + bytes.fromhex("60075f5fa1")
GWEI = 10**9


@pytest.fixture
def anvil(tmp_path):
    with start_anvil(AnvilOptions(ipc=tmp_path / "node.ipc")) as node:
        yield node


@pytest.fixture
async def proxy(anvil):
    async with running(anvil.http) as made:
        yield made


async def with_multicall(reader):
    """Place Multicall3's code and return the basis of the newest block."""
    head = await reader.head()
    code = await reader.deployless(multicall3_creation_code(), Basis(block_hash=head.hash))
    await reader.rpc.request("anvil_setCode", MULTICALL3, "0x" + code.hex())
    await reader.rpc.request("evm_mine")
    return Basis(block_hash=(await reader.head()).hash)


def balance_of(account):
    return Call(target=MULTICALL3, data=calldata("getEthBalance(address)", account))


def signed(nonce, max_fee, tip, gas=21_000):
    fields = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "to": NOBODY,
        "value": 1,
        "gas": gas,
        "maxFeePerGas": max_fee,
        "maxPriorityFeePerGas": tip,
    }
    return bytes(RICH.sign_transaction(fields).raw_transaction)


@pytest.mark.parametrize("scheme", ["http", "ws", "ipc"])
async def test_each_transport_reads_the_same(anvil, scheme):
    """Head, balance, nonce, code, logs, fees; many at once, and an answer of megabytes."""
    place = {"http": anvil.http, "ws": anvil.ws, "ipc": str(anvil.ipc)}[scheme]
    async with connect([place], chain_id=31337) as reader:
        basis = await with_multicall(reader)
        calls = [balance_of(RICH.address)] * 1200
        results = await reader.aggregate(calls, basis)
        both = await asyncio.gather(*(reader.balance(RICH.address, basis) for _ in range(40)))
        code = bytes.fromhex("62200000") + bytes.fromhex("5ff3")
        big = await reader.deployless(code, basis)

        assert {int.from_bytes(result.data) for result in results} == set(both)
        assert len(big) == 2**21
        assert await reader.code(NOBODY, basis) == b""
        assert await reader.transaction_count(RICH.address) == 0
        base_fees, _ = await reader.fee_history(1, 50)
        assert len(base_fees) == 2


async def test_an_aggregate_is_few_requests(anvil, proxy):
    """1200 calls are three requests of 500, whatever they read."""
    async with connect([proxy.url]) as reader:
        basis = await with_multicall(reader)
        proxy.reset()
        await reader.aggregate([balance_of(RICH.address)] * 1200, basis)

        assert proxy.counts == {"eth_call": 3}


async def test_a_call_starved_of_gas_by_another_is_read_alone(anvil, proxy):
    """One call burns 63/64 of the gas; those behind it must not look like failures."""
    burner, spender = checksum("0x" + "bb" * 20), checksum("0x" + "cc" * 20)
    overlay = (
        CodeOverride(address=burner, code=BURNS_ALL_GAS),
        CodeOverride(address=spender, code=SPENDS_100K),
    )
    async with connect([proxy.url], limits=Limits(gas=3_000_000)) as reader:
        plain = await with_multicall(reader)
        basis = Basis(block_hash=plain.block_hash, overlay=overlay)
        calls = [Call(target=burner, data=b""), *[Call(target=spender, data=b"")] * 3]

        for _ in range(2):
            results = await reader.aggregate(calls, basis)
            assert [result.success for result in results] == [False, True, True, True]


async def test_an_aggregate_too_expensive_for_the_node_is_halved(anvil, proxy):
    """Each call fits; all of them together do not."""
    spender = checksum("0x" + "cc" * 20)
    overlay = (CodeOverride(address=spender, code=SPENDS_100K),)
    async with connect([proxy.url], limits=Limits(gas=2_000_000)) as reader:
        plain = await with_multicall(reader)
        basis = Basis(block_hash=plain.block_hash, overlay=overlay)
        results = await reader.aggregate([Call(target=spender, data=b"")] * 100, basis)

    assert results == [CallResult(success=True, data=(42).to_bytes(32))] * 100


async def test_without_multicall_calls_are_batched_and_it_is_said_once(anvil, proxy):
    """A chain without Multicall3 is slower, not unreadable; a revert fails alone there too."""
    target = checksum("0x" + "bb" * 20)
    overlay = (CodeOverride(address=target, code=REVERTS_42),)
    async with connect([proxy.url]) as reader:
        basis = Basis(block_hash=(await reader.head()).hash, overlay=overlay)
        for _ in range(2):
            results = await reader.aggregate([Call(target=target, data=b"")] * 3, basis)

        assert results == [CallResult(success=False, data=(42).to_bytes(32))] * 3
        assert len(reader.warnings) == 1


async def test_an_unknown_pinned_block_is_told_as_such(anvil):
    """For every read that is pinned."""
    basis = Basis(block_hash="0x" + "11" * 32)
    async with connect([anvil.http]) as reader:
        for read in (
            reader.balance(NOBODY, basis),
            reader.code(NOBODY, basis),
            reader.call(Call(target=NOBODY, data=b""), basis),
            reader.block_logs(LogFilter(addresses=()), basis.block_hash),
            reader.head(basis.block_hash),
            reader.estimate_gas({"to": NOBODY}, basis),
            reader.simulate_v1({"blockStateCalls": [{"calls": [{"to": NOBODY}]}]}, basis),
        ):
            with pytest.raises(BlockUnknown):
                await read


async def test_a_revert_carries_its_data(anvil):
    """The executor's errors are decoded from it."""
    async with connect([anvil.http]) as reader:
        basis = Basis(block_hash=(await reader.head()).hash)
        with pytest.raises(RpcRefused) as caught:
            await reader.deployless(REVERTS_42, basis)

    assert caught.value.data == (42).to_bytes(32)


async def test_logs_are_found_in_windows_that_the_node_accepts(anvil, proxy):
    """A node that takes ranges of three blocks only, and caps the results of one."""
    emitter = checksum("0x" + "ee" * 20)

    async def at_most_three_blocks(request):
        if request["method"] != "eth_getLogs" or "blockHash" in request["params"][0]:
            return None
        first, last = (int(request["params"][0][key], 16) for key in ("fromBlock", "toBlock"))
        if last - first < 3:
            return None
        error = {"code": -32005, "message": "query exceeds max block range 3"}
        return {"jsonrpc": "2.0", "id": request["id"], "error": error}

    async with connect([proxy.url]) as reader:
        await reader.rpc.request("anvil_setCode", emitter, "0x" + EMITS_LOG.hex())
        for _ in range(20):
            await reader.rpc.request("eth_sendTransaction", {"from": RICH.address, "to": emitter})
            await reader.rpc.request("evm_mine")
        proxy.hooks.append(at_most_three_blocks)
        head, wanted = await reader.head(), LogFilter(addresses=(emitter,))
        found = await reader.logs_between(wanted, 0, head.number)

        assert len(found) == 40
        assert found == sorted(found, key=lambda log: (log.block_number, log.index))
        last = found[-1]
        assert last in await reader.block_logs(wanted, last.block_hash)
        assert await reader.logs_between(
            LogFilter(addresses=(emitter,), topics=((bytes(31) + b"\7",),)), 0, head.number
        ) == [log for log in found if log.topics]


async def test_a_receipt_is_read_and_a_send_goes_out_once(anvil, proxy):
    """The hash is the one of our own bytes; the proxy saw one send."""
    async with connect([proxy.url]) as reader:
        raw = signed(0, 2 * GWEI, GWEI)
        sent = await Sender(reader.rpc).send_raw(raw)
        await reader.rpc.request("evm_mine")
        receipt = await reader.receipt(sent)

        assert receipt is not None
        assert (receipt.success, receipt.gas_used) == (True, 21_000)
        assert (await reader.transaction(sent)).sender == RICH.address
        assert proxy.counts["eth_sendRawTransaction"] == 1


async def test_a_send_is_not_repeated_when_the_answer_is_lost(anvil, proxy):
    """The bytes arrived; only the answer did not. Reads are repeated, this never."""
    seen = []

    async def answer_lost(request):
        if request["method"] == "eth_sendRawTransaction":
            seen.append(request)
            error = {"code": -32005, "message": "rate limit"}
            return {"jsonrpc": "2.0", "id": request["id"], "error": error}
        return None

    proxy.hooks.append(answer_lost)
    async with connect([proxy.url]) as reader:
        with pytest.raises(RpcUnavailable):
            await Sender(reader.rpc).send_raw(signed(0, 2 * GWEI, GWEI))

    assert len(seen) == 1


async def test_the_next_endpoint_takes_over(anvil, proxy):
    """The first one ends; the reads go on, and no address is told."""
    async with connect([proxy.url, anvil.http]) as reader:
        await reader.head()
        await proxy.stop()

        assert (await reader.head()).number == 0


async def test_a_wrong_chain_is_a_mistake_in_the_settings(anvil):
    """One line that names the two ids and not the endpoint's address."""
    with pytest.raises(ConfigError, match="31337") as caught:
        async with connect([anvil.http + "/?key=SECRET"], chain_id=1):
            pass
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("max_fee", "tip", "accepted"),
    [(1099, 110, False), (1100, 109, False), (1100, 110, True)],
)
async def test_the_proxy_wants_ten_percent_more_on_both_fees(anvil, proxy, max_fee, tip, accepted):
    """As geth does, and Anvil does not."""
    async with connect([proxy.url]) as reader:
        await reader.rpc.request("evm_setAutomine", *[False])
        sender = Sender(reader.rpc)
        await sender.send_raw(signed(0, 1000 * GWEI, 100 * GWEI))
        if accepted:
            await sender.send_raw(signed(0, max_fee * GWEI, tip * GWEI))
        else:
            with pytest.raises(RpcRefused, match="replacement transaction underpriced"):
                await sender.send_raw(signed(0, max_fee * GWEI, tip * GWEI))


async def test_the_proxy_keeps_what_is_underpriced_until_it_fits(anvil, proxy):
    """Anvil would refuse a cap below the base fee; geth lets it wait."""
    async with connect([proxy.url]) as reader:
        sent = await Sender(reader.rpc).send_raw(signed(0, 1000, 1))
        assert (await reader.transaction(sent)).block_number is None
        await reader.rpc.request("anvil_setNextBlockBaseFeePerGas", hex(900))
        await proxy.reinject()
        await reader.rpc.request("evm_mine")

        assert await reader.receipt(sent) is not None


async def test_the_proxy_refuses_more_than_the_gas_cap(anvil, proxy):
    """2**24 is the most that a transaction may ask for."""
    async with connect([proxy.url]) as reader:
        with pytest.raises(RpcRefused, match="gas limit too high"):
            await Sender(reader.rpc).send_raw(signed(0, 2 * GWEI, GWEI, gas=2**24 + 1))


async def test_the_proxy_passes_subscriptions_on(anvil, proxy):
    """Notifications reach the keeper through the proxy's websocket."""
    async with connect([proxy.ws_url]) as reader:
        heard = await reader.rpc.subscribe("newHeads")
        await reader.rpc.request("evm_mine")
        async with asyncio.timeout(60):
            header = await heard.get()

        assert header["number"] == "0x1"
        assert proxy.counts["eth_subscribe"] == 1
