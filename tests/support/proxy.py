"""
A JSON-RPC proxy between the keeper and Anvil, over http and websocket.

It counts, records, delays, lets hooks answer, and enforces what Anvil does not: geth's
rule for replacing a transaction (both fees up by 10 %, rounded up), its pool that keeps
a transaction whose cap is below the base fee, and the caps on gas. ``faults`` is the script
of what goes wrong (docs/faults.md).
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.breaking import broken_answer, broken_message
from tests.support.faults import BROKEN, Fault, Faults, Kind
from tests.support.pool import Pooled, bumped, pooled, waiting_document

Message = dict[str, Any]
Hook = Callable[[Message], Awaitable[Message | None]]
"""Sees a request; returns a full answer to give instead of the node's, or None."""

TRANSACTION_GAS_CAP = 2**24
CALL_GAS_CAP = 50_000_000
MAX_BODY = 64 * 1024 * 1024


@dataclass(slots=True)
class Rules:
    """What the proxy enforces; switch off what a test does not want."""

    replacement: bool = True
    keep_underpriced: bool = True
    transaction_gas_cap: int | None = TRANSACTION_GAS_CAP
    call_gas_cap: int | None = CALL_GAS_CAP


@dataclass(slots=True)
class Proxy:
    """
    One running proxy. ``url`` is http, ``ws_url`` a websocket, both on one port.

    ``counts`` counts methods, each element of a batch for itself; ``round_trips`` counts
    messages. ``bodies`` holds the requests while ``recording``. ``outage`` is a status
    and a text that every request gets for an answer, a websocket's handshake too.
    ``most_requests`` is how many a batch may have.
    """

    upstream: str
    port: int = 0
    rules: Rules = field(default_factory=Rules)
    hooks: list[Hook] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    latency: float = 0.0
    outage: tuple[int, str] | None = None
    recording: bool = False
    most_requests: int | None = None
    counts: Counter[str] = field(default_factory=Counter)
    round_trips: int = 0
    bodies: list[Message] = field(default_factory=list)
    waiting: dict[tuple[str, int], Pooled] = field(default_factory=dict)
    pooled: dict[tuple[str, int], Pooled] = field(default_factory=dict)
    _session: aiohttp.ClientSession | None = None
    _runner: web.AppRunner | None = None
    _sockets: set[web.WebSocketResponse] = field(default_factory=set)
    _injecting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def url(self) -> str:
        """Where the proxy speaks http."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Where the proxy speaks websocket."""
        return f"ws://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Forget what was counted and recorded."""
        self.counts.clear()
        self.bodies.clear()
        self.round_trips = 0

    async def start(self) -> None:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession()
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close every connection."""
        await self.drop_sockets()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def drop_sockets(self) -> None:
        """Close the websockets, as a node that restarts does."""
        for socket in list(self._sockets):
            await socket.close()

    async def ask(self, method: str, *params: object) -> Any:
        """Ask the node itself, past rules, hooks and counters."""
        answer = await self._forward(
            {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        )
        if "error" in answer:
            raise RuntimeError(answer["error"]["message"])
        return answer["result"]

    async def reinject(self) -> None:
        """Hand the node the kept transactions whose cap now reaches the base fee."""
        async with self._injecting:
            base_fee = await self._base_fee()
            for key, kept in sorted(self.waiting.items(), key=lambda item: item[0]):
                if kept.max_fee >= base_fee:
                    del self.waiting[key]
                    with contextlib.suppress(RuntimeError):  # overtaken by its nonce
                        await self.ask("eth_sendRawTransaction", kept.raw)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if self.outage is not None:
            return web.Response(status=self.outage[0], text=self.outage[1])
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        broken: list[Fault] = []
        answer = await self._answer(json.loads(await request.read()), broken)
        return await broken_answer(request, answer, broken[0] if broken else None)

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        client = web.WebSocketResponse(max_msg_size=MAX_BODY)
        await client.prepare(request)
        assert self._session is not None
        upstream = self.upstream.replace("http", "ws", 1)
        async with self._session.ws_connect(upstream, max_msg_size=MAX_BODY) as node:
            self._sockets.add(client)
            replies: dict[Any, asyncio.Future[Message]] = {}
            relaying = asyncio.create_task(self._relay(node, client, replies), name="relay")
            answering = set[asyncio.Task[None]]()
            try:
                async for message in client:
                    task = asyncio.create_task(
                        self._socket_answer(request, message.data, node, client, replies),
                        name="answer",
                    )
                    answering.add(task)
                    task.add_done_callback(answering.discard)
            finally:
                self._sockets.discard(client)
                for task in (relaying, *answering):
                    task.cancel()
                await asyncio.wait([relaying, *answering])
        return client

    async def _relay(
        self,
        node: aiohttp.ClientWebSocketResponse,
        client: web.WebSocketResponse,
        replies: dict[Any, asyncio.Future[Message]],
    ) -> None:
        """Pass on what the node says: answers to who waits, notifications to the client."""
        async for message in node:
            document = json.loads(message.data)
            waiting = replies.pop(document.get("id"), None)
            if waiting is not None:
                waiting.set_result(document)
            elif (passed := await self._hooked(document)) is None:
                for heard in self.faults.notified(document):
                    await client.send_json(heard)
            elif passed:
                await client.send_json(passed)
        await client.close()

    async def _socket_answer(
        self,
        asked: web.Request,
        raw: str,
        node: aiohttp.ClientWebSocketResponse,
        client: web.WebSocketResponse,
        replies: dict[Any, asyncio.Future[Message]],
    ) -> None:
        """Answer one message; subscriptions belong to this socket's own connection."""

        async def over_socket(request: Message) -> Message:
            replies[request["id"]] = asyncio.get_running_loop().create_future()
            await node.send_json(request)
            return await replies[request["id"]]

        document = json.loads(raw)
        own = isinstance(document, dict) and document["method"].endswith("subscribe")
        broken: list[Fault] = []
        answer = await self._answer(document, broken, over_socket if own else self._forward)
        with contextlib.suppress(ConnectionError):
            if broken:
                await broken_message(asked, client, answer, broken[0])
            elif answer:
                await client.send_json(answer)

    async def _answer(
        self,
        document: Any,
        broken: list[Fault],
        forward: Callable[[Message], Awaitable[Message]] | None = None,
    ) -> Any:
        """Answer a message; ``broken`` gets what then happens to the answer on its way."""
        self.round_trips += 1
        if self.latency:
            await asyncio.sleep(self.latency)
        if isinstance(document, list):
            if self.most_requests is not None and len(document) > self.most_requests:
                return _refused({"id": None}, "batch limit exceeded")
            return [await self._answer_one(item, broken, self._forward) for item in document]
        return await self._answer_one(document, broken, forward or self._forward)

    async def _answer_one(
        self,
        request: Message,
        broken: list[Fault],
        forward: Callable[[Message], Awaitable[Message]],
    ) -> Message:
        self.counts[request["method"]] += 1
        if self.recording:
            self.bodies.append(request)
        answer = await self._hooked(request)
        if answer is not None:
            return answer
        fired = self.faults.fired(request["method"])
        broken += [one for one in fired if one.kind in BROKEN]
        for one in fired:
            if one.kind is Kind.LATENCY:
                await asyncio.sleep(one.seconds)
        if any(not one.delivered for one in fired):
            return _refused(request, "lost")
        if not fired:
            return await self._asked(request, forward)
        newest = int(await self.ask("eth_blockNumber"), 16)
        asked = self.faults.asked(request, fired, newest)
        if any(one.kind is Kind.SWALLOWED for one in fired):
            return {
                "jsonrpc": "2.0",
                "id": request["id"],
                "result": pooled(asked["params"][0]).hash,
            }
        answer = await self._asked(asked, forward)
        if any(one.kind is Kind.DROPPED for one in fired):
            await self.drop(pooled(asked["params"][0]))
        return self.faults.answered(request, answer, fired)

    async def drop(self, sent: Pooled) -> None:
        """Let the pool forget a transaction."""
        self.waiting.pop((sent.sender, sent.nonce), None)
        self.pooled.pop((sent.sender, sent.nonce), None)
        await self.ask("anvil_dropTransaction", sent.hash)

    async def _asked(
        self, request: Message, forward: Callable[[Message], Awaitable[Message]]
    ) -> Message:
        """Ask the node, under the proxy's rules."""
        method, params = request["method"], request.get("params", [])
        if method == "eth_sendRawTransaction":
            return await self._send(request, params[0])
        if method == "eth_call" and self.rules.call_gas_cap is not None:
            given = int(params[0].get("gas", "0x0"), 16)
            params[0]["gas"] = hex(min(given or self.rules.call_gas_cap, self.rules.call_gas_cap))
        if self.waiting and method in ("eth_blockNumber", "eth_getBlockByNumber"):
            await self.reinject()
        answer = await forward(request)
        if method == "eth_getTransactionByHash" and answer.get("result") is None:
            kept = next((kept for kept in self.waiting.values() if kept.hash == params[0]), None)
            if kept is not None:
                return {"jsonrpc": "2.0", "id": request["id"], "result": waiting_document(kept)}
        return answer

    async def _hooked(self, request: Message) -> Message | None:
        for hook in list(self.hooks):
            answer = await hook(request)
            if answer is not None:
                return answer
        return None

    async def _send(self, request: Message, raw: str) -> Message:
        """Take a transaction as geth's pool would."""
        sent = pooled(raw)
        cap = self.rules.transaction_gas_cap
        if cap is not None and sent.gas > cap:
            return _refused(request, f"transaction gas limit too high (cap: {cap}, tx: {sent.gas})")
        refusal = await self._replacement_refusal(sent)
        if refusal:
            return _refused(request, refusal)
        key = (sent.sender, sent.nonce)
        if self.rules.keep_underpriced and sent.max_fee < await self._base_fee():
            self.waiting[key] = self.pooled[key] = sent
            return {"jsonrpc": "2.0", "id": request["id"], "result": sent.hash}
        answer = await self._forward(request)
        if "error" not in answer:
            self.pooled[key] = sent
            self.waiting.pop(key, None)
        return answer

    async def _replacement_refusal(self, sent: Pooled) -> str:
        """Return geth's words where the transaction does not outbid the one it replaces."""
        old = self.pooled.get((sent.sender, sent.nonce))
        if old is None or not self.rules.replacement:
            return ""
        if not await self._still_pooled(old):
            del self.pooled[sent.sender, sent.nonce]
            return ""
        if sent.hash == old.hash:
            return "already known"
        if sent.max_fee < bumped(old.max_fee) or sent.tip < bumped(old.tip):
            return "replacement transaction underpriced"
        return ""

    async def _still_pooled(self, old: Pooled) -> bool:
        """Whether it still waits: not mined, and neither dropped nor taken back by a reorg."""
        if (old.sender, old.nonce) in self.waiting:
            return True
        known = await self.ask("eth_getTransactionByHash", old.hash)
        return known is not None and known.get("blockHash") is None

    async def _base_fee(self) -> int:
        """Return the next block's base fee."""
        history = await self.ask("eth_feeHistory", "0x1", "latest", [])
        return int(history["baseFeePerGas"][-1], 16)

    async def _forward(self, request: Message) -> Message:
        assert self._session is not None
        async with self._session.post(self.upstream, json=request) as response:
            answer: Message = await response.json(content_type=None)
        return answer


@contextlib.asynccontextmanager
async def running(upstream: str, **options: Any) -> AsyncIterator[Proxy]:
    """Run a proxy in front of the node at ``upstream`` (http)."""
    proxy = Proxy(upstream, **options)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


def _refused(request: Message, text: str) -> Message:
    return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32000, "message": text}}
