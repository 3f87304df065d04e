"""Heads over real sockets to a scripted node: announced, polled, lost, silent, late."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field, replace

import pytest
from aiohttp import web

from keeper.chain.heads import Heads, Pace
from keeper.chain.reader import NodeReader, connect
from keeper.chain.transport import Timeouts
from keeper.domain.errors import RpcMalformed, RpcUnavailable

QUICK = Pace(poll=0.01, silence=60.0, pause=0.01, longest_pause=0.02)
WARY = replace(QUICK, silence=0.1)
"""As quick, and soon in doubt about a subscription that says nothing."""


def block(number, branch="a"):
    return {
        "number": hex(number),
        "hash": "0x" + f"{branch}{number:x}".rjust(64, "0"),
        "parentHash": "0x" + f"{branch}{number - 1:x}".rjust(64, "0"),
        "timestamp": hex(1000 + number),
        "baseFeePerGas": "0x7",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x0",
    }


@dataclass
class Node:
    """A node over http and ws; ``announces`` of False keeps its subscriptions silent."""

    port: int = 0
    newest: dict = field(default_factory=lambda: block(1))
    known: dict = field(default_factory=dict)
    announces: bool = True
    has_subscriptions: bool = True
    mute: bool = False
    sockets: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    subscribed: asyncio.Event = field(default_factory=asyncio.Event)
    reader: NodeReader | None = None

    def answer(self, request):
        self.asked.append(request["method"])
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        match request["method"]:
            case "eth_chainId" | "eth_blockNumber":
                return {**reply, "result": "0x1"}
            case "eth_getBlockByNumber":
                return {**reply, "result": self.newest}
            case "eth_getBlockByHash":
                return {**reply, "result": self.known.get(request["params"][0])}
            case "eth_subscribe" if self.has_subscriptions:
                return {**reply, "result": "0x" + f"{len(self.asked):x}"}
        return {**reply, "error": {"code": -32601, "message": "method not found"}}

    async def mine(self, new, announced=None):
        self.newest = new
        self.known[new["hash"]] = new
        if self.announces:
            await self.announce(announced or new)

    async def announce(self, header):
        for socket, subscription in self.sockets:
            params = {"subscription": subscription, "result": header}
            with contextlib.suppress(ConnectionError):
                await socket.send_json(
                    {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
                )

    async def drop(self):
        self.subscribed.clear()
        for socket, _ in self.sockets[:]:
            await socket.close()

    async def serve(self, request):
        if request.headers.get("Upgrade") != "websocket":
            return web.json_response(self.answer(await request.json()))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            asked = json.loads(message.data)
            if self.mute:
                continue
            reply = self.answer(asked)
            await socket.send_json(reply)
            if asked["method"] == "eth_subscribe" and "result" in reply:
                self.sockets.append((socket, reply["result"]))
                self.subscribed.set()
        self.sockets = [(other, name) for other, name in self.sockets if other is not socket]
        return socket


@pytest.fixture
async def node():
    made = Node()
    app = web.Application()
    app.router.add_route("*", "/", made.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.port = runner.addresses[0][1]
    yield made
    await made.drop()
    await runner.cleanup()


@contextlib.asynccontextmanager
async def following(node, scheme="ws", pace=QUICK, trouble=None, patience=5.0):
    times = Timeouts(connect=5.0, request=patience, reads=patience)
    async with connect([f"{scheme}://127.0.0.1:{node.port}/"], timeouts=times) as reader:
        node.reader = reader
        heads = Heads(reader, pace=pace, trouble=trouble).heads()
        async with contextlib.aclosing(heads), asyncio.timeout(60):
            yield heads


async def until(holds):
    while not holds():  # noqa: ASYNC110 - the scripted node has no event for each question
        await asyncio.sleep(0.005)


async def listening(node):
    """Wait until a subscription was made, and the head asked for once more after it."""
    await node.subscribed.wait()
    await until(lambda: node.asked[-1] == "eth_getBlockByNumber")


async def taken_in(node):
    """Wait until all that the node has announced was heard: an answer comes after it."""
    await node.reader.rpc.request("eth_blockNumber")
    for _ in range(100):
        await asyncio.sleep(0)


async def test_announced_heads_cost_no_request(node):
    """The announcement holds all that a head needs."""
    async with following(node) as heads:
        assert (await anext(heads)).number == 1
        await listening(node)
        before = len(node.asked)
        await node.mine(block(2))
        head = await anext(heads)

        assert (head.number, head.hash) == (2, block(2)["hash"])
        assert len(node.asked) == before


async def test_newest_wins_when_the_reader_is_slow(node):
    """Heads 2 to 4 came while the reader was busy with 1."""
    async with following(node) as heads:
        await anext(heads)
        await listening(node)
        for number in range(2, 6):
            await node.mine(block(number))
        await taken_in(node)

        assert (await anext(heads)).number == 5


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_without_subscriptions_the_head_is_polled(node, scheme):
    """Over http, and where the node's websocket knows no eth_subscribe."""
    node.has_subscriptions = False
    async with following(node, scheme) as heads:
        await anext(heads)
        await node.mine(block(2))

        assert (await anext(heads)).number == 2


async def test_a_lost_socket_is_subscribed_again_and_the_gap_is_told(node):
    """Block 2 was mined while there was no connection; block 3 is announced on the new one."""
    async with following(node) as heads:
        await anext(heads)
        await node.subscribed.wait()
        await node.drop()
        await node.mine(block(2))
        assert (await anext(heads)).number == 2
        await node.subscribed.wait()
        await node.mine(block(3))

        assert (await anext(heads)).number == 3


async def test_a_silent_subscription_is_found_out(node):
    """The socket is open and says nothing, while the chain goes on."""
    troubles = []
    node.announces = False
    async with following(node, pace=WARY, trouble=troubles.append) as heads:
        await anext(heads)
        await listening(node)
        await node.mine(block(2))
        assert (await anext(heads)).number == 2

        await until(lambda: node.asked.count("eth_subscribe") == 2)
        assert "silent" in str(troubles[-1])


async def test_a_black_hole_is_reported_and_survived(node):
    """The node accepts everything and answers nothing, then comes back."""
    troubles = asyncio.Queue()
    async with following(node, pace=WARY, trouble=troubles.put_nowait, patience=0.5) as heads:
        await anext(heads)
        await node.subscribed.wait()
        node.mute, node.announces = True, False
        await node.mine(block(2))
        trouble = await troubles.get()
        node.mute = False
        assert (await anext(heads)).number == 2

    assert isinstance(trouble, RpcUnavailable)
    assert str(node.port) not in str(trouble)


async def test_the_same_head_is_not_yielded_twice(node):
    """Announced twice, polled and announced: one block's work is done once."""
    async with following(node) as heads:
        await anext(heads)
        await listening(node)
        await node.mine(block(2))
        assert (await anext(heads)).number == 2
        await node.announce(block(2))
        await taken_in(node)
        await node.mine(block(3))

        assert (await anext(heads)).number == 3


async def test_a_late_announcement_does_not_go_back(node):
    """Block 2 is announced after block 3 was already known: the node is asked which is newest."""
    async with following(node) as heads:
        await anext(heads)
        await listening(node)
        await node.mine(block(3))
        assert (await anext(heads)).number == 3
        await node.announce(block(2))
        await node.mine(block(4))

        assert (await anext(heads)).number == 4


async def test_a_reorganised_head_of_the_same_number_is_news(node):
    """Another block took its place."""
    async with following(node) as heads:
        await anext(heads)
        await listening(node)
        await node.mine(block(2))
        await anext(heads)
        await node.mine(block(2, "b"))

        assert (await anext(heads)).hash == block(2, "b")["hash"]


async def test_a_short_announcement_is_completed_by_its_hash(node):
    """Some chains' announcements lack fields."""
    async with following(node) as heads:
        await anext(heads)
        await listening(node)
        await node.mine(block(2), announced={"hash": block(2)["hash"]})

        assert (await anext(heads)).base_fee == 7


async def test_a_nonsense_announcement_does_not_end_the_heads(node):
    """It is reported, the subscription is made anew, and the chain is still followed."""
    troubles = asyncio.Queue()
    async with following(node, trouble=troubles.put_nowait) as heads:
        await anext(heads)
        await listening(node)
        await node.announce(["what?"])
        trouble = await troubles.get()
        await node.mine(block(2))

        assert (await anext(heads)).number == 2
        assert isinstance(trouble, RpcMalformed)
