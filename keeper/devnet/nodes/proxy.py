"""Misbehaving node, a proxy before the local one over http and websocket."""

import asyncio
import contextlib
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

from keeper.devnet.anvil import HOST
from keeper.devnet.nodes.behaviours import (
    LATE_SECONDS,
    SPOILT,
    Behaviour,
    Misbehaviour,
    Trouble,
    forms_in,
    is_notification,
    notified,
)
from keeper.devnet.nodes.forms import BATCH, NEW_HEADS, SEND, Message, fields_of, form_of

MAX_BODY: Final = 64 * 1024 * 1024
_HUGE_LISTS: Final = 64 * 1024 * 1024 // 3
_HUGE_TEXT: Final = "[" + "[]," * (1024 * 1024) + "[]]"
_BAD_REQUEST: Final = 400


@dataclass(slots=True, kw_only=True)
class Proxy:
    """One endpoint with its ``misbehaviour``.

    ``asked`` counts the requests by form, ``samples`` has the fields of each form's results.
    ``sent`` is set by the first transaction that is sent here.
    """

    upstream: int
    misbehaviour: Misbehaviour = field(default_factory=lambda: Misbehaviour(troubles=()))
    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    samples: dict[str, set[str]] = field(default_factory=dict)
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    _session: aiohttp.ClientSession | None = None

    @property
    def http(self) -> str:
        """Its address over http."""
        return f"http://{HOST}:{self.port}"

    @property
    def ws(self) -> str:
        """Its address over a websocket."""
        return f"ws://{HOST}:{self.port}"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Proxy"]:
        """Listen on a free port until the context ends."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        async with aiohttp.ClientSession() as self._session:
            await runner.setup()
            await web.TCPSite(runner, HOST, 0).start()
            self.port = int(runner.addresses[0][1])
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        document = json.loads(await request.read())
        if self._is_refused_batch(document):
            return web.Response(status=_BAD_REQUEST, text="batch requests are not supported")
        spoilt = self._find_spoiling(document)
        answer = await self._build_answer(document)
        if spoilt is Behaviour.HUGE:
            return web.Response(body=_build_huge_body(), headers={"Content-Encoding": "gzip"})
        text = json.dumps(answer)
        if spoilt is Behaviour.TRUNCATED:
            text = text[: len(text) // 2]
        return web.Response(text=text, content_type="application/json")

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        client = web.WebSocketResponse(max_msg_size=MAX_BODY)
        await client.prepare(request)
        assert self._session is not None  # noqa: S101 - it serves
        address = f"ws://{HOST}:{self.upstream}"
        async with self._session.ws_connect(address, max_msg_size=MAX_BODY) as node:
            link = _Link(self, client, node)
            await link.serve()
        return client

    def _is_refused_batch(self, document: object) -> bool:
        """Return whether a whole batch is refused, for behaviours that apply to batches."""
        if not isinstance(document, list):
            return False
        trouble = self.misbehaviour.active(BATCH)
        if trouble is None or trouble.behaviour in SPOILT | LATE_SECONDS.keys():
            return False
        self.misbehaviour.met[trouble] += 1
        return True

    def _find_spoiling(self, document: object) -> Behaviour | None:
        """Return the corruption of the answer to this message in transit."""
        for form in dict.fromkeys(forms_in(document)):
            trouble = self._find_trouble(form)
            if trouble is not None and trouble.behaviour in SPOILT:
                self.misbehaviour.met[trouble] += 1
                return trouble.behaviour
        return None

    def _find_trouble(self, form: str) -> Trouble | None:
        return next((one for one in self.misbehaviour.troubles if one.form == form), None)

    async def _build_answer(self, document: Any) -> Any:  # noqa: ANN401 - a JSON value
        if not isinstance(document, list):
            return await self._respond_to_request(document, None)
        self.asked[BATCH] += 1
        late = self._find_trouble(BATCH)
        await asyncio.sleep(LATE_SECONDS.get(late.behaviour, 0.0) if late else 0.0)
        return [await self._respond_to_request(request, None) for request in document]

    async def _respond_to_request(self, request: Message, link: "_Link | None") -> Message:
        form = form_of(request)
        self.asked[form] += 1
        if form == SEND:
            self.sent.set()
        trouble = self.misbehaviour.active(form)
        if trouble is not None:
            await asyncio.sleep(self.misbehaviour.delay(trouble, request))
            refused = self.misbehaviour.refused(trouble, request)
            if refused is not None:
                return refused
        over = self._forward(request) if link is None else link.forward(request)
        answer = await over
        self.samples.setdefault(form, set()).update(fields_of(answer.get("result")))
        if trouble is not None:
            answer = self.misbehaviour.changed(trouble, request, answer)
        return answer

    async def _forward(self, request: Message) -> Message:
        assert self._session is not None  # noqa: S101 - it serves
        async with self._session.post(f"http://{HOST}:{self.upstream}", json=request) as response:
            answer: Message = await response.json(content_type=None)
        return answer


class _Link:
    """One websocket of the keeper's, with one of its own to the node."""

    def __init__(
        self,
        proxy: Proxy,
        client: web.WebSocketResponse,
        node: aiohttp.ClientWebSocketResponse,
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._node = node
        self._replies: dict[Any, asyncio.Future[Message]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Answer until the keeper closes it."""
        self._start_task(self._forward_notifications())
        try:
            async for message in self._client:
                self._start_task(self._send_answer(message.data))
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="link")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def forward(self, request: Message) -> Message:
        """Forward the request over this link's own connection, which subscriptions belong to."""
        self._replies[request["id"]] = asyncio.get_running_loop().create_future()
        await self._node.send_json(request)
        return await self._replies[request["id"]]

    async def _send_answer(self, raw: str) -> None:
        document = json.loads(raw)
        proxy = self._proxy
        if proxy._is_refused_batch(document):  # noqa: SLF001 - a part of it
            refusal = {"code": -32600, "message": "batch too large"}
            await self._send(json.dumps({"jsonrpc": "2.0", "id": None, "error": refusal}))
            return
        spoilt = proxy._find_spoiling(document)  # noqa: SLF001 - a part of it
        if isinstance(document, dict) and str(document["method"]).endswith("subscribe"):
            answer: Any = await proxy._respond_to_request(document, self)  # noqa: SLF001
        else:
            answer = await proxy._build_answer(document)  # noqa: SLF001 - a part of it
        text = _HUGE_TEXT if spoilt is Behaviour.HUGE else json.dumps(answer)
        await self._send(text[: len(text) // 2] if spoilt is Behaviour.TRUNCATED else text)

    async def _forward_notifications(self) -> None:
        async for message in self._node:
            document = json.loads(message.data)
            waiting = self._replies.pop(document.get("id"), None)
            if waiting is not None:
                waiting.set_result(document)
            elif is_notification(document):
                self._start_task(self._notify(document))
        await self._client.close()

    async def _notify(self, document: Message) -> None:
        proxy = self._proxy
        proxy.asked[NEW_HEADS] += 1
        proxy.samples.setdefault(NEW_HEADS, set()).update(fields_of(document["params"]["result"]))
        trouble = proxy.misbehaviour.active(NEW_HEADS)
        if trouble is None:
            await self._send(json.dumps(document))
            return
        proxy.misbehaviour.met[trouble] += 1
        await asyncio.sleep(LATE_SECONDS.get(trouble.behaviour, 0.0))
        made = notified(trouble, document)
        if made is None:
            return
        text = _HUGE_TEXT if trouble.behaviour is Behaviour.HUGE else json.dumps(made)
        truncated = trouble.behaviour is Behaviour.TRUNCATED
        await self._send(text[: len(text) // 2] if truncated else text)

    async def _send(self, text: str) -> None:
        with contextlib.suppress(ConnectionError):
            await self._client.send_str(text)


def _build_huge_body() -> bytes:
    """Build 64 MiB of empty lists in 65 KB."""
    if not _HUGE:
        _HUGE.append(gzip.compress(b"[" + b"[]," * _HUGE_LISTS + b"[]]", 9))
    return _HUGE[0]


_HUGE: list[bytes] = []
