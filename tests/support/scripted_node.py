"""A node that answers what it is told to, over http and websocket, with faults by method."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from eth_hash.auto import keccak

Document = dict[str, Any]
Raw = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Sees a whole http request; returns what is answered instead, or None."""

Batched = Callable[[list[Document]], Any]
"""Sees a whole batch; returns what is answered instead (a text as it is), or None."""

REFUSED = -32000


class Refusal(Exception):
    """What a handler raises to answer with an error object."""

    def __init__(self, message: str, code: int = REFUSED, data: Any = None) -> None:
        super().__init__(message)
        self.document = {"code": code, "message": message, "data": data}


class Silence(Exception):
    """What a handler raises to say nothing at all."""


class Hangup(Exception):
    """What ``batch`` raises to close the connection."""


def refused_whole(message: str, code: int = -32600) -> Document:
    """Return the error object that stands for a whole batch."""
    return {"jsonrpc": "2.0", "id": None, "error": {"code": code, "message": message}}


def block(number: int, branch: str = "a", parent: str | None = None) -> Document:
    """Return a header; its hash says its branch and its number."""
    return {
        "number": hex(number),
        "hash": "0x" + f"{branch}{number:x}".rjust(64, "0"),
        "parentHash": "0x" + f"{parent or branch}{max(number - 1, 0):x}".rjust(64, "0"),
        "timestamp": hex(1000 + number),
        "baseFeePerGas": "0x7",
        "gasLimit": "0x1c9c380",
        "gasUsed": "0x0",
    }


@dataclass
class ScriptedNode:
    """
    A chain of headers, nonces and receipts.

    ``handlers`` answer methods instead of it; ``raw`` answers whole http requests, ``batch`` whole
    batches; ``batches`` has the size of each that came. ``mute``
    says nothing over websockets, ``pages`` is how many requests it answers there with a page of
    text; ``announces`` of False keeps subscriptions silent.
    """

    chain_id: int = 1
    code: str = "0x60"
    branch: str = "a"
    height: int = 1
    nonce: int = 0
    final: int | None = 0
    port: int = 0
    announces: bool = True
    mute: bool = False
    pages: int = 0
    receipts: dict[str, Document] = field(default_factory=dict)
    handlers: dict[str, Callable[[list[Any]], Any]] = field(default_factory=dict)
    raw: Raw | None = None
    batch: Batched | None = None
    batches: list[int] = field(default_factory=list)
    blocks: dict[int, Document] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    sent: list[str] = field(default_factory=list)
    sockets: list[tuple[web.WebSocketResponse, str]] = field(default_factory=list)
    open_sockets: set[web.WebSocketResponse] = field(default_factory=set)
    openings: int = 0
    _runner: web.AppRunner | None = None

    @property
    def http(self) -> str:
        """Where it speaks http."""
        return f"http://127.0.0.1:{self.port}/secret-path"

    @property
    def ws(self) -> str:
        """Where it speaks websocket."""
        return f"ws://127.0.0.1:{self.port}/secret-path"

    def at(self, number: int) -> Document | None:
        """Return the canonical block of a height."""
        if not 0 <= number <= self.height:
            return None
        return self.blocks.get(number) or block(number, self.branch)

    def fork(self, number: int, branch: str, to: int | None = None) -> None:
        """Take another branch from a height on."""
        parent = self.branch
        for one in range(number, (to or self.height) + 1):
            self.blocks[one] = block(one, branch, parent if one == number else branch)
        self.height = to or self.height

    async def mine(self, to: int | None = None) -> None:
        """Go on to a height, the next one by default, and announce it."""
        self.height = self.height + 1 if to is None else to
        if self.announces:
            await self.announce(self.at(self.height) or {})

    async def announce(self, header: Document) -> None:
        """Tell every subscription of a head."""
        for socket, subscription in self.sockets[:]:
            params = {"subscription": subscription, "result": header}
            with contextlib.suppress(ConnectionError):
                await socket.send_json(
                    {"jsonrpc": "2.0", "method": "eth_subscription", "params": params}
                )

    async def drop(self) -> None:
        """Close the websockets."""
        for socket in list(self.open_sockets):
            await socket.close()

    async def start(self) -> None:
        """Listen on a free port, or on the one it had."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close everything; ``start`` takes the same port again."""
        await self.drop()
        if self._runner is not None:
            await self._runner.cleanup()

    def answer(self, request: Document) -> Document:
        """Return the answer to one request."""
        method, params = request["method"], request.get("params", [])
        self.asked[method] += 1
        reply = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            handler = self.handlers.get(method)
            result = handler(params) if handler else self.result(method, params)
        except Refusal as refusal:
            return {**reply, "error": refusal.document}
        return {**reply, "result": result}

    def answer_all(self, requests: list[Document]) -> Any:
        """Return the answer to a batch."""
        self.batches.append(len(requests))
        instead = self.batch(requests) if self.batch else None
        return [self.answer(request) for request in requests] if instead is None else instead

    def result(self, method: str, params: list[Any]) -> Any:  # noqa: PLR0911 - one a method
        match method:
            case "eth_chainId":
                return hex(self.chain_id)
            case "eth_getCode":
                return self.code
            case "eth_blockNumber":
                return hex(self.height)
            case "eth_getBlockByNumber":
                return self.tagged(params[0])
            case "eth_getBlockByHash":
                known = [self.at(number) for number in range(self.height + 1)]
                return next((one for one in known if one and one["hash"] == params[0]), None)
            case "eth_getTransactionCount":
                return hex(self.nonce)
            case "eth_getTransactionReceipt":
                return self.receipts.get(params[0])
            case "eth_sendRawTransaction":
                self.sent.append(params[0])
                return "0x" + keccak(bytes.fromhex(params[0][2:])).hex()
            case "eth_subscribe":
                return hex(sum(self.asked.values()))
        raise Refusal("method not found", -32601)

    def tagged(self, tag: str) -> Any:
        if tag == "finalized":
            if self.final is None:
                raise Refusal("finalized block not found", -39001)
            return self.at(self.final)
        return self.at(self.height if tag == "latest" else int(tag, 16))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        if self.raw is not None:
            answered = await self.raw(request)
            if answered is not None:
                return answered
        document = json.loads(await request.read())
        try:
            if not isinstance(document, list):
                return web.json_response(self.answer(document))
            answer = self.answer_all(document)
        except Silence:
            await asyncio.sleep(3600)
            raise
        except Hangup:
            assert request.transport is not None
            request.transport.close()
            answer = web.Response()
        return _responded(answer)

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.openings += 1
        self.open_sockets.add(socket)
        try:
            async for message in socket:
                asked = json.loads(message.data)
                if self.mute:
                    continue
                if self.pages > 0:
                    self.pages -= 1
                    await socket.send_str("<html>too many requests</html>")
                    continue
                try:
                    alone = isinstance(asked, dict)
                    reply = self.answer(asked) if alone else self.answer_all(asked)
                except Silence:
                    continue
                except Hangup:
                    break
                if isinstance(reply, str):
                    await socket.send_str(reply)
                    continue
                await socket.send_json(reply)
                if alone and asked["method"] == "eth_subscribe" and "result" in reply:
                    self.sockets.append((socket, reply["result"]))
        finally:
            self.open_sockets.discard(socket)
            self.sockets = [one for one in self.sockets if one[0] is not socket]
        return socket


def _responded(answer: Any) -> web.Response:
    """Return a response as it is, a text as it is, and anything else as JSON."""
    if isinstance(answer, web.Response):
        return answer
    return web.Response(text=answer) if isinstance(answer, str) else web.json_response(answer)


@contextlib.asynccontextmanager
async def nodes(*made: ScriptedNode) -> AsyncIterator[tuple[ScriptedNode, ...]]:
    """Run nodes while the context lasts."""
    for one in made:
        await one.start()
    try:
        yield made
    finally:
        for one in made:
            await one.stop()


async def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for a condition, within a generous bound."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - a scripted node has no event for each question
            await asyncio.sleep(0.005)
