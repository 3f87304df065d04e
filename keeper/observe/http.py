"""Read-only HTTP server for health and metrics, on this machine, by its own names.

It serves one request per connection, on few and short connections, so that no client holds up the
keeper. Requests with a foreign Host header are refused, against DNS rebinding. No page of another
site can read an answer.
"""

import asyncio
import contextlib
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from aiohttp import web

from keeper.observe.connections import BadRequests, Connections
from keeper.observe.connections import log as bad_requests
from keeper.observe.health import Health

log = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 32
CONNECTION_SECONDS: Final = 10.0
"""Maximum duration of a connection."""
STOP_SECONDS: Final = 1.0
MAX_LINE: Final = 2_048
MAX_HEADERS: Final = 64

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_HOST: Final = re.compile(r"(?:\[(?P<bracketed>[0-9a-f:.]+)\]|(?P<plain>[a-z0-9._-]+))(?::[0-9]+)?")
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Server": "keeper",
    "X-Content-Type-Options": "nosniff",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Sources of the served pages. ``hosts`` are the accepted host names."""

    health: Health
    metrics: Callable[[], Awaitable[bytes]]
    version: Mapping[str, str]
    hosts: Collection[str] = field(default=LOCAL_NAMES)


def host_name(header: str) -> str:
    """Parse the name in a Host header, without port and brackets. Empty if invalid."""
    found = _HOST.fullmatch(header.strip().lower())
    return "" if found is None else found["bracketed"] or found["plain"]


def application(window: Window) -> web.Application:
    """Build the application of five read-only pages."""

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        reasons = {name: why for name, why in window.health.report().items() if why}
        return _build_response({"ready": not reasons, "reasons": reasons}, failing=bool(reasons))

    async def healthz(request: web.Request) -> web.Response:
        found = window.health.report()
        failing = any(found.values())
        document: dict[str, object] = {"status": "failing" if failing else "ok"}
        if "verbose" in request.query:
            document["components"] = {
                name: {"ok": not why, "reason": why} for name, why in found.items()
            }
        return _build_response(document, failing=failing)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=await window.metrics(), headers={"Content-Type": METRICS_TYPE})

    async def version(_: web.Request) -> web.Response:
        return _build_response(dict(window.version))

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        # mutation: G34 served-host
        if host_name(request.headers.get("Host", "")) not in window.hosts:
            answer: web.StreamResponse = web.Response(status=403, text="this host is not served\n")
        else:
            answer = await _serve_request(request, handler)
        answer.headers.update(_HEADERS)
        answer.force_close()
        return answer

    app = web.Application(middlewares=[guarded])
    pages = {
        "/livez": livez,
        "/readyz": readyz,
        "/healthz": healthz,
        "/metrics": metrics,
        "/version": version,
    }
    for path, handler in pages.items():
        app.router.add_get(path, handler)
    return app


async def _serve_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as refused:
        return web.Response(status=refused.status, text=f"{refused.reason}\n")


@contextlib.asynccontextmanager
async def served(window: Window, host: str, port: int) -> AsyncIterator[int | None]:
    """Serve while the context lasts. Yields the port, None where the address is unavailable.

    A busy port is only a warning, since several keepers run on one machine and liquidations must
    not wait for observability.
    """
    runner = web.AppRunner(
        application(window),
        access_log=None,
        logger=bad_requests,
        handle_signals=False,
        shutdown_timeout=STOP_SECONDS,
        keepalive_timeout=0,
        lingering_time=0,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        max_headers=MAX_HEADERS,
        read_bufsize=MAX_LINE,
    )
    bounded = BadRequests()
    bad_requests.addFilter(bounded)
    await runner.setup()
    listening: asyncio.Server | None = None
    try:
        loop = asyncio.get_running_loop()
        accept = Connections(
            cast("web.Server", runner.server), loop, MAX_CONNECTIONS, CONNECTION_SECONDS
        )
        # mutation: G34 listening-address
        listening = await loop.create_server(accept, host, port, backlog=MAX_CONNECTIONS)
        taken = listening.sockets[0].getsockname()[1]
        log.info("observe_listening host=%s port=%d", host, taken)
    except OSError as error:
        log.warning(
            "observe_off host=%s port=%d reason=%s hint=%s",
            host,
            port,
            error.strerror or type(error).__name__,
            "the keeper goes on; set observe.listen to a free port to look at it",
        )
    try:
        yield None if listening is None else taken
    finally:
        if listening is not None:
            listening.close()
        await runner.cleanup()
        bad_requests.removeFilter(bounded)


def _build_response(document: Mapping[str, object], *, failing: bool = False) -> web.Response:
    text = json.dumps(document, ensure_ascii=False) + "\n"
    return web.Response(status=503 if failing else 200, text=text, content_type="application/json")
