"""F12: what is too much of an answer is stopped while it comes, over every way to a node."""

import asyncio
import contextlib
import gc
import json
import tracemalloc
import zlib

import pytest

from keeper.chain.bounds import ANY, answer_bound
from keeper.chain.connector import COSTLY_SECONDS, WINDOW_SECONDS, Meter
from keeper.chain.decoding import QUICK_TEXT_BYTES, Decoder
from keeper.chain.reader import connect
from keeper.chain.standing import State
from keeper.chain.transport import Timeouts
from keeper.domain.errors import RpcMalformed, RpcTooLarge, RpcUnavailable
from tests.support import bombs
from tests.support.raw_node import (
    CONTINUATION,
    PING,
    RawNode,
    announced_frame,
    frame,
    http_response,
    raw_nodes,
)
from tests.support.scripted_node import until

MIB = 2**20
SCHEMES = ("http", "ws", "ipc")
TIMES = Timeouts(connect=5.0, request=5.0, reads=0.2)
HASTY = Timeouts(connect=5.0, request=0.5, reads=0.2)

SMALL = {
    "eth_blockNumber": (),
    "eth_getBlockByNumber": ("latest", False),
    "eth_getTransactionCount": ("0x" + "11" * 20, "latest"),
    "eth_sendRawTransaction": ("0x02",),
    "eth_getBalance": ("0x" + "11" * 20, "latest"),
}
LARGE = {
    "eth_getLogs": ({"fromBlock": "0x1", "toBlock": "0x9"},),
    "eth_call": ({"gas": hex(45_000_000)}, "latest"),
    "eth_simulateV1": ({"blockStateCalls": [{"calls": [{"gas": hex(16_000_000)}]}]}, "latest"),
    "eth_getTransactionReceipt": ("0x" + "ab" * 32,),
    "eth_getBlockReceipts": ("0x1",),
}


@contextlib.asynccontextmanager
async def asking(node, timeouts=TIMES):
    """Connect to a node that is good until its ``hostile`` is set, and yield the rpc."""
    async with (
        raw_nodes(node),
        connect([node.address], chain_id=1, timeouts=timeouts) as reader,
    ):
        yield reader.rpc


@contextlib.contextmanager
def little_memory(most):
    """Fail where more memory than ``most`` was in use at any moment."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most, f"{peak / MIB:.1f} MiB"


@pytest.mark.io
@pytest.mark.parametrize("method", SMALL | LARGE)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "bare deflate", "gzip in members"])
async def test_f12_64_mib_of_empty_lists_are_stopped_while_they_are_inflated(method, encoding):
    """65 KB on the wire, and gigabytes when decoded; whatever was asked."""
    if encoding == "gzip in members":
        body = bombs.in_members(bombs.lists())
    else:
        window = {"gzip": 31, "deflate": 15, "bare deflate": -15}[encoding]
        body = bombs.compressed(bombs.lists(), window)
    node = RawNode()
    async with asking(node) as rpc:
        named = encoding.split()[0] if "bare" not in encoding else "deflate"
        response = http_response(body, f"Content-Encoding: {named}")
        node.hostile = lambda _: [response]
        with little_memory(12 * MIB), pytest.raises(RpcMalformed) as caught:
            await rpc.request(method, *(SMALL | LARGE)[method])

    assert len(body) < 100_000
    assert caught.value.excessive


@pytest.mark.io
@pytest.mark.parametrize("what", bombs.DOCUMENTS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_f12_a_bomb_of_anything_is_bounded_by_what_it_becomes(what, encoding):
    """White space, one text, an error's words, brackets without end."""
    window = 31 if encoding == "gzip" else 15
    response = http_response(
        bombs.compressed(bombs.DOCUMENTS[what](), window), f"Content-Encoding: {encoding}"
    )
    node = RawNode()
    async with asking(node) as rpc:
        node.hostile = lambda _: [response]
        with little_memory(12 * MIB), pytest.raises(RpcMalformed) as caught:
            await rpc.request("eth_blockNumber")

    assert caught.value.excessive


@pytest.mark.io
@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "x-gzip", "gzip, gzip", "GZIP"])
async def test_f12_what_was_not_asked_for_is_not_decompressed_without_bound(encoding):
    """Whatever else this machine could decompress: none of it is offered to the node."""
    response = http_response(
        bombs.compressed(bombs.lists()), f"Content-Encoding: {encoding}", "Connection: close"
    )
    node = RawNode()
    async with asking(node) as rpc:
        node.hostile = lambda _: [response]
        with little_memory(12 * MIB), pytest.raises((RpcMalformed, RpcUnavailable)):
            await rpc.request("eth_blockNumber")


@pytest.mark.io
async def test_f12_ten_thousand_compressed_members_are_refused():
    """Each alone is nothing; together they are slow."""
    response = http_response(bombs.in_members([b" "] * 10_000), "Content-Encoding: gzip")
    node = RawNode()
    async with asking(node) as rpc:
        node.hostile = lambda _: [response]
        with pytest.raises(RpcMalformed):
            await rpc.request("eth_blockNumber")


@pytest.mark.io
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("what", bombs.DOCUMENTS)
async def test_f12_a_message_that_grows_without_end_is_stopped(scheme, what, tmp_path):
    """It never says how long it will be: chunks, fragments, bytes without a line feed."""
    node = RawNode(scheme, folder=tmp_path)
    async with asking(node) as rpc:
        node.hostile = lambda _: node.streamed(bombs.DOCUMENTS[what]())
        with little_memory(24 * MIB), pytest.raises(RpcMalformed) as caught:
            await rpc.request("eth_blockNumber")
        before = len(node.writers)
        node.hostile = None
        assert await rpc.request("eth_blockNumber") == "0x1"

    assert caught.value.excessive
    assert len(node.writers) == before + 1  # nothing more is read over the old connection


@pytest.mark.io
@pytest.mark.parametrize("scheme", ["ws", "ipc"])
async def test_f12_a_whole_message_is_measured_before_it_is_decoded(scheme, tmp_path):
    """Two megabytes, in one piece, for a question whose answer has a hundred bytes."""
    node = RawNode(scheme, folder=tmp_path)
    async with asking(node) as rpc:
        for number, raw in enumerate((b"[" + b"[]," * 200_000 + b"1]", b'"' + b"0" * 1_100_000)):
            node.hostile = lambda _, raw=raw: [node.framed(raw)]
            with pytest.raises(RpcMalformed) as caught:
                await rpc.request("eth_blockNumber")
            assert caught.value.excessive, number
            node.hostile = None
            await rpc.request("eth_blockNumber")


@pytest.mark.io
async def test_f12_a_frame_that_announces_a_terabyte_is_refused_at_once():
    """And one that announces less is read no further than what is waited for."""
    node = RawNode("ws")
    async with asking(node) as rpc:
        node.hostile = lambda _: [announced_frame(2**40)]
        with pytest.raises(RpcTooLarge):
            await rpc.request("eth_blockNumber")
        node.hostile = lambda _: [announced_frame(30 * MIB), *[b"0" * MIB] * 30]
        with little_memory(12 * MIB), pytest.raises(RpcTooLarge):
            await rpc.request("eth_blockNumber")


@pytest.mark.io
async def test_f12_compressed_messages_are_not_taken_where_none_were_agreed():
    """The keeper offers no compression on websockets, so that there is nothing to inflate."""
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = squeezed.compress(b"[" + b"[]," * MIB) + squeezed.flush(zlib.Z_SYNC_FLUSH)
    node = RawNode("ws")
    async with asking(node) as rpc:
        node.hostile = lambda _: [frame(body, compressed=True)]
        with little_memory(12 * MIB), pytest.raises(RpcMalformed):
            await rpc.request("eth_blockNumber")


DRIPS = {
    "http, a body": ("http", lambda _: [b"HTTP/1.1 200 OK\r\n\r\n", *[b" "] * 1000]),
    "http, chunks": (
        "http",
        lambda _: [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            *[b"1\r\n \r\n"] * 1000,
        ],
    ),
    "http, headers": ("http", lambda _: [b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 100]),
    "http, interim responses": ("http", lambda _: [b"HTTP/1.1 100 Continue\r\n\r\n"] * 1000),
    "ws, fragments": (
        "ws",
        lambda _: [frame(b"[", final=False), *[frame(b" ", CONTINUATION, final=False)] * 1000],
    ),
    "ws, half a frame": ("ws", lambda _: [announced_frame(2**19), *[b"0"] * 1000]),
    "ws, pings": ("ws", lambda _: [frame(b"", PING)] * 1000),
    "ipc, bytes": ("ipc", lambda _: [b"[", *[b"1,"] * 1000]),
    "ipc, line feeds": ("ipc", lambda _: [b"\n"] * 1000),
}


@pytest.mark.io
@pytest.mark.parametrize("what", DRIPS)
async def test_f06_drips_end_with_the_time_for_the_request(what, tmp_path):
    """Each byte is progress and the answer never comes; nothing goes on afterwards."""
    scheme, hostile = DRIPS[what]
    node = RawNode(scheme, folder=tmp_path, pause=0.01)
    async with asking(node, HASTY) as rpc:
        tasks = asyncio.all_tasks()
        node.hostile = hostile
        with pytest.raises(RpcUnavailable):
            await rpc.request("eth_blockNumber")
        node.hostile = None
        assert await rpc.request("eth_blockNumber") == "0x1"
        serving = [task for task in asyncio.all_tasks() if "_serve" not in str(task.get_coro())]

    assert len(serving) <= len(tasks) + 1


HEADS = {
    "too many": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000,
    "too long": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 4 * MIB,
    "a status": b"HTTP/1.1 200 " + b"y" * 4 * MIB,
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: y\r\n" * MIB,
}


@pytest.mark.io
@pytest.mark.parametrize("what", HEADS)
async def test_f12_headers_are_bounded_too(what):
    """They come before the body, and would be kept."""
    node = RawNode()
    async with asking(node) as rpc:
        node.hostile = lambda _: [HEADS[what]]
        with little_memory(8 * MIB), pytest.raises(RpcUnavailable):
            await rpc.request("eth_blockNumber")


@pytest.mark.io
@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_f12_bytes_that_cost_too_much_to_take_apart_end_the_connection(scheme, monkeypatch):
    """Chunks of a byte, interim responses, pings: small, sparse, and a core's whole work."""
    monkeypatch.setattr("keeper.chain.connector.COSTLY_SECONDS", 0.001)
    costly = {
        "http": [b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000] * 50,
        "ws": [frame(b"", final=False), *[frame(b"", CONTINUATION, final=False) * 10_000] * 50],
    }
    node = RawNode(scheme)
    async with asking(node) as rpc:
        node.hostile = lambda _: costly[scheme]
        with pytest.raises(RpcMalformed, match="too long to take apart") as caught:
            await rpc.request("eth_blockNumber")
        assert caught.value.excessive
        assert rpc.pool.standings[0].offences == 1


def test_what_a_connection_costs_is_a_matter_of_lately():
    """An hour of small answers costs more than a moment of nonsense, and is none."""
    meter, now = Meter(), 0.0
    for _ in range(10_000):
        now += WINDOW_SECONDS / 4
        meter.add(COSTLY_SECONDS / 10, now)
    assert not meter.is_exceeded
    meter.add(COSTLY_SECONDS, now)
    assert meter.is_exceeded


def told(subscription, result):
    params = {"subscription": subscription, "result": result}
    return json.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}).encode()


@pytest.mark.io
@pytest.mark.parametrize("scheme", ["ws", "ipc"])
@pytest.mark.parametrize("what", ["50 MB", "a flood", "a flood of old answers", "values"])
async def test_f12_what_is_told_unasked_is_bounded(scheme, what, tmp_path):
    """Whoever listens hears why it ended, and the endpoint pays for it."""
    parts = {
        "50 MB": [told("0x1", "0" * 50 * 10**6)],
        "a flood": [told("0x1", "0")] * 10_000,
        "a flood of old answers": [b'{"jsonrpc":"2.0","id":1,"result":"0x1"}'] * 10_000,
        "values": [told("0x1", [[]] * 5000)],
    }[what]
    node = RawNode(scheme, folder=tmp_path)
    async with asking(node) as rpc:
        heard = await rpc.subscribe("newHeads")
        framed = [node.framed(part) for part in parts]

        async def until_it_ends():
            while True:
                await heard.get()

        async with asyncio.timeout(60):
            pushing = asyncio.create_task(node.push(framed))
            with little_memory(24 * MIB), pytest.raises(RpcMalformed) as caught:
                await until_it_ends()
            await pushing
        assert caught.value.excessive
        assert await rpc.request("eth_blockNumber") == "0x1"  # over a new connection


@pytest.mark.io
async def test_f12_nobody_hears_what_piles_up():
    """A reader that is slow keeps the newest, and not much of it."""
    node = RawNode("ws")
    async with asking(node) as rpc:
        heard = await rpc.subscribe("newHeads")
        with little_memory(24 * MIB):
            for _ in range(60):
                await node.push([frame(told("0x1", "0" * 500_000))])
            await rpc.request("eth_blockNumber")
        assert len(await heard.get()) == 500_000


@pytest.mark.io
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_f12_a_batch_is_read_no_further_than_its_members_together(scheme, tmp_path):
    """Three nonces are three megabytes at most."""
    node = RawNode(scheme, folder=tmp_path)
    async with asking(node) as rpc:
        node.hostile = lambda _: node.streamed(bombs.spaces(8 * MIB))
        with pytest.raises(RpcTooLarge, match="longer than 3 MiB"):
            await rpc.batch([("eth_blockNumber", ())] * 3)


@pytest.mark.io
@pytest.mark.parametrize("scheme", ["ws", "ipc"])
async def test_a_good_node_that_has_too_many_logs_is_asked_for_less_and_not_blamed(
    scheme, tmp_path
):
    """The others who wait on the same connection go on, or ask again."""
    node = RawNode(scheme, folder=tmp_path)
    logs = [b'{"jsonrpc":"2.0","id":%d,"result":"', *[b"0" * MIB] * 9, b'"}']
    async with asking(node) as rpc:

        def hostile(number):
            node.hostile = None
            return [node.framed(b"".join([logs[0] % number, *logs[1:]]))]

        node.hostile = hostile
        asked = asyncio.create_task(rpc.request("eth_getLogs", *LARGE["eth_getLogs"]))
        with pytest.raises(RpcTooLarge) as caught:
            await asked
        assert await rpc.read("eth_blockNumber") == "0x1"
        standing = rpc.pool.standings[0]

    assert not caught.value.excessive
    assert (standing.state, standing.offences, standing.clings) == (State.ALIVE, 0, False)


@pytest.mark.io
@pytest.mark.parametrize("scheme", ["ws", "ipc"])
async def test_an_answer_that_comes_after_its_time_is_within_its_own_bound(scheme, tmp_path):
    """A slow node is slow: five megabytes of logs that nobody waits for any more are no offence."""
    node = RawNode(scheme, folder=tmp_path)
    async with asking(node) as rpc:
        numbers = []

        def hostile(number):
            numbers.append(number)
            node.hostile = None
            return []

        node.hostile = hostile
        asked = asyncio.create_task(rpc.request("eth_getLogs", *LARGE["eth_getLogs"]))
        await until(lambda: numbers)
        asked.cancel()
        await asyncio.wait([asked])
        raw = b'{"jsonrpc":"2.0","id":%d,"result":"0x%b"}' % (numbers[0], b"0" * 5 * MIB)
        await node.push([node.framed(raw)])
        assert await rpc.request("eth_blockNumber") == "0x1"

    assert node.connections == 1
    assert rpc.pool.standings[0].offences == 0


def some_logs(size):
    log = {
        "address": "0x" + "11" * 20,
        "topics": ["0x" + "ab" * 32] * 3,
        "data": "0x" + "00" * 160,
        "blockNumber": "0x1",
        "transactionHash": "0x" + "cd" * 32,
        "blockHash": "0x" + "ef" * 32,
        "logIndex": "0x1",
        "removed": False,
    }
    logs = [log] * (size // len(json.dumps(log)))
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": logs}).encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "raw", [some_logs(4 * MIB), b'"' + b"0" * 2 * QUICK_TEXT_BYTES + b'"'], ids=["logs", "a text"]
)
async def test_large_answers_are_decoded_while_the_loop_goes_on(raw):
    """Heads come and sends go meanwhile."""
    turns, done = 0, False

    async def others():
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    going = asyncio.create_task(others())
    await Decoder().decode(raw, ANY)
    done = True
    await going

    assert turns > 0


async def test_small_answers_are_decoded_at_once():
    """A thread would cost more than the work."""
    turns, done = 0, False

    async def others():
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    going = asyncio.create_task(others())
    await asyncio.sleep(0)
    began = turns
    await Decoder().decode(some_logs(100_000), answer_bound([("eth_getLogs", ({},))]))
    await Decoder().decode(b'"' + b"0" * MIB + b'"', ANY)
    assert turns == began
    done = True
    await going
