"""The proxy does what its script says: a fault that does not happen proves nothing."""

import asyncio
import contextlib

import aiohttp
import pytest
from eth_account import Account

from keeper.chain.abi import checksum
from keeper.chain.reader import connect
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.domain.errors import RpcUnavailable
from tests.support.faults import ANY_HASH, Fault, Faults, Kind, parsed
from tests.support.pool import pooled
from tests.support.proxy import running

RICH = Account.from_key("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
GWEI = 10**9
LOGGER = checksum("0x" + "1c" * 20)
NO_BODIES = MINE_BY_HAND = False
EMITS_LOG = "0x60015fa000"


@pytest.fixture
def anvil():
    with start_anvil(AnvilOptions(timestamp=1_800_000_000)) as node:
        yield node


@pytest.fixture
async def proxy(anvil):
    async with running(anvil.http) as made:
        await made.ask("evm_setAutomine", MINE_BY_HAND)
        yield made


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as made:
        yield made


async def asked(session, proxy, method, *params):
    """Ask over http; returns status and document."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with session.post(proxy.url, json=body) as response:
        return response.status, await response.json(content_type=None)


async def result(session, proxy, method, *params):
    _, document = await asked(session, proxy, method, *params)
    return document["result"]


def script(proxy, *faults, seed=0):
    proxy.faults = Faults(faults, seed=seed)


def signed(nonce=0):
    fields = {
        "type": 2,
        "chainId": 31337,
        "nonce": nonce,
        "to": LOGGER,
        "value": 0,
        "gas": 60_000,
        "maxFeePerGas": 3 * GWEI,
        "maxPriorityFeePerGas": GWEI,
    }
    return RICH.sign_transaction(fields).raw_transaction.to_0x_hex()


async def in_pool(proxy):
    return int((await proxy.ask("txpool_status"))["pending"], 16)


@pytest.mark.parametrize("delivered", [True, False])
@pytest.mark.parametrize(
    "kind", [Kind.TIMEOUT, Kind.STATUS, Kind.LIMITED, Kind.RESET, Kind.TRUNCATED, Kind.HTML]
)
async def test_a_send_whose_answer_is_lost(proxy, session, kind, delivered):
    """Whether the node has it is not to be told from the answer: that is the point."""
    script(proxy, Fault(kind=kind, delivered=delivered, seconds=0.1, status=503))
    said = None
    with contextlib.suppress(aiohttp.ClientError, ValueError):
        said = await asked(session, proxy, "eth_sendRawTransaction", signed())

    assert await in_pool(proxy) == int(delivered)
    assert said is None or said[1]["error"]["code"] == -32005
    assert [one for _, one in proxy.faults.log] == [kind]


async def test_too_many_requests_says_how_long_to_wait(proxy, session):
    """As providers do, in the header."""
    script(proxy, Fault(kind=Kind.STATUS, status=429, amount=7))
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []}
    async with session.post(proxy.url, json=body) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize("kind", [Kind.TIMEOUT, Kind.STATUS, Kind.RESET, Kind.TRUNCATED, Kind.HTML])
async def test_an_answer_is_lost_on_a_websocket_too(proxy, session, kind):
    """Cut, spoilt or late: never the answer."""
    script(proxy, Fault(kind=kind, seconds=60))
    async with session.ws_connect(proxy.ws_url) as socket:
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []})
        with pytest.raises((TimeoutError, ValueError, KeyError, TypeError)):
            (await asyncio.wait_for(socket.receive(), 0.3)).json()["result"]


async def test_a_send_is_swallowed(proxy, session):
    """The hash is right and nobody has it."""
    script(proxy, Fault(kind=Kind.SWALLOWED, times=1))
    raw = signed()

    assert await result(session, proxy, "eth_sendRawTransaction", raw) == pooled(raw).hash
    assert await in_pool(proxy) == 0
    await result(session, proxy, "eth_sendRawTransaction", raw)
    assert await in_pool(proxy) == 1


async def test_a_send_is_dropped_by_the_pool(proxy, session):
    """Accepted and forgotten; the same bytes are taken again."""
    script(proxy, Fault(kind=Kind.DROPPED, times=1))
    await result(session, proxy, "eth_sendRawTransaction", signed())
    assert await in_pool(proxy) == 0

    await result(session, proxy, "eth_sendRawTransaction", signed())

    assert await in_pool(proxy) == 1


async def test_the_head_is_stale_or_goes_backwards_or_stands_still(proxy, session):
    """The same chain, told late."""
    await proxy.ask("anvil_mine", "0x14")
    script(proxy, Fault(kind=Kind.STALE_HEAD, amount=10))
    assert await result(session, proxy, "eth_blockNumber") == hex(10)
    assert (await result(session, proxy, "eth_getBlockByNumber", "latest", NO_BODIES))[
        "number"
    ] == "0xa"

    script(proxy, Fault(kind=Kind.BACKWARDS_HEAD, amount=5))
    numbers = [
        (await result(session, proxy, "eth_getBlockByNumber", "latest", NO_BODIES))["number"]
        for _ in range(3)
    ]
    assert numbers == [hex(20), hex(15), hex(20)]

    script(proxy, Fault(kind=Kind.FROZEN_HEAD))
    first = await result(session, proxy, "eth_getBlockByNumber", "latest", NO_BODIES)
    await proxy.ask("anvil_mine", "0x1", "0x64")
    second = await result(session, proxy, "eth_getBlockByNumber", "latest", NO_BODIES)
    assert (first["hash"], first["number"]) == (second["hash"], second["number"])
    assert first["timestamp"] < second["timestamp"]


async def heads_heard(proxy, session, faults, blocks=3):
    """Return the numbers of the heads that a subscriber hears while blocks are mined."""
    script(proxy, *faults)
    heard = []
    async with session.ws_connect(proxy.ws_url) as socket:
        ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]}
        await socket.send_json(ask)
        await socket.receive()
        for _ in range(blocks):
            await proxy.ask("evm_mine")
            await asyncio.sleep(0.05)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    told = await socket.receive_json()
                    heard.append(int(told["params"]["result"]["number"], 16))
    return heard


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (Fault(kind=Kind.DUPLICATE, amount=2), [1, 1, 2, 2, 3, 3]),
        (Fault(kind=Kind.MISSING, after=1, times=1), [1, 3]),
        (Fault(kind=Kind.REORDERED, times=2), [2, 1, 3]),
        (Fault(kind=Kind.SILENT), []),
    ],
)
async def test_heads_on_a_websocket(proxy, session, fault, heard):
    """Twice, missing, in another order, or none at all."""
    assert await heads_heard(proxy, session, [fault]) == heard


async def test_removed_logs_on_a_websocket(proxy, session):
    """What a node tells after a reorganisation."""
    await proxy.ask("anvil_setCode", LOGGER, EMITS_LOG)
    script(proxy, Fault(kind=Kind.REMOVED_LOGS, methods=("logs",)))
    async with session.ws_connect(proxy.ws_url) as socket:
        ask = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["logs", {}]}
        await socket.send_json(ask)
        await socket.receive()
        await proxy.ask("eth_sendRawTransaction", signed())
        await proxy.ask("evm_mine")
        told = [(await socket.receive_json())["params"]["result"] for _ in range(2)]

    assert [one["removed"] for one in told] == [False, True]
    assert told[0]["transactionHash"] == told[1]["transactionHash"]


async def test_receipts_logs_and_counts_lie(proxy, session):
    """One field each; everything else is the node's."""
    await proxy.ask("anvil_setCode", LOGGER, EMITS_LOG)
    await proxy.ask("eth_sendRawTransaction", signed())
    await proxy.ask("evm_mine")
    sent = pooled(signed()).hash

    async def told(kind, method, *params, **changes):
        script(proxy, Fault(kind=kind, **changes))
        return await result(session, proxy, method, *params)

    receipt = "eth_getTransactionReceipt"
    assert await told(Kind.NO_RECEIPT, receipt, sent) is None
    assert (await told(Kind.FLIPPED_RECEIPT, receipt, sent))["status"] == "0x0"
    assert (await told(Kind.FOREIGN_RECEIPT, receipt, sent))["from"] == "0x" + "fa" * 20
    assert (await told(Kind.ORPHAN_RECEIPT, receipt, sent))["blockHash"] == ANY_HASH
    logs = {"fromBlock": "0x0", "toBlock": "latest"}
    assert await told(Kind.PARTIAL_LOGS, "eth_getLogs", logs) == []
    assert [one["removed"] for one in await told(Kind.REMOVED_LOGS, "eth_getLogs", logs)] == [True]
    count = ("eth_getTransactionCount", RICH.address, "latest")
    assert await told(Kind.STALE_NONCE, *count, amount=1) == "0x0"
    assert await told(Kind.AHEAD_NONCE, *count, amount=2) == "0x3"
    assert await told(Kind.WRONG_CHAIN, "eth_chainId", amount=1) == hex(31338)
    block = await told(Kind.OTHER_HASH, "eth_getBlockByNumber", "0x1", NO_BODIES)
    assert block["hash"] == ANY_HASH
    fees = await told(Kind.DEAR, "eth_feeHistory", "0x1", "latest", [])
    script(proxy)
    true = await result(session, proxy, "eth_feeHistory", "0x1", "latest", [])
    assert int(fees["baseFeePerGas"][-1], 16) == 10 * int(true["baseFeePerGas"][-1], 16)


async def test_a_failure_rate_is_the_seeds(proxy, session):
    """The same seed, the same requests fail."""

    async def failures(seed):
        script(proxy, Fault(kind=Kind.STATUS, chance=0.5), seed=seed)
        return [(await asked_status(session, proxy)) for _ in range(30)]

    first = await failures(7)

    assert await failures(7) == first
    assert await failures(8) != first
    assert {200, 500} == set(first)


async def asked_status(session, proxy):
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    async with session.post(proxy.url, json=body) as response:
        return response.status


async def test_the_reader_survives_a_node_of_which_every_fifth_answer_is_lost(proxy):
    """The proxy before the keeper's own client: reads are repeated until they are answered."""
    async with connect([proxy.url], chain_id=31337) as reader:
        script(proxy, *parsed("status:chance=0.2; reset:chance=0.1"), seed=3)
        for _ in range(10):
            await reader.head()

    assert proxy.faults.log


async def test_the_reader_gives_up_on_a_node_that_answers_nothing(proxy):
    """One error of ours, not a library's."""
    async with connect([proxy.url], chain_id=31337) as reader:
        script(proxy, Fault(kind=Kind.RESET))
        with pytest.raises(RpcUnavailable):
            await reader.head()


def test_a_script_is_written_in_a_line():
    """As `scripts/faults --script` takes it."""
    text = "timeout:methods=eth_call+eth_getLogs,chance=0.25,delivered=no; stale_head:amount=3"

    assert parsed(text) == [
        Fault(
            kind=Kind.TIMEOUT,
            methods=("eth_call", "eth_getLogs"),
            chance=0.25,
            delivered=False,
        ),
        Fault(kind=Kind.STALE_HEAD, amount=3),
    ]
