"""How an answer is lost on its way: over http and on a websocket."""

import asyncio
import contextlib
import functools
import json
from typing import Any

from aiohttp import web

from tests.support import bombs
from tests.support.faults import Fault, Kind

LIMIT = -32005


async def broken_answer(request: web.Request, answer: Any, fault: Fault | None) -> Any:
    """Return the http response that carries an answer, or what a fault makes of it."""
    if fault is None:
        return web.json_response(answer)
    if fault.kind is Kind.TIMEOUT:
        await asyncio.sleep(fault.seconds)
    elif fault.kind is Kind.TRUNCATED:
        return await _truncated(request, json.dumps(answer).encode())
    elif (instead := _instead(answer, fault)) is not None:
        return instead
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


async def broken_message(
    request: web.Request, client: web.WebSocketResponse, answer: Any, fault: Fault
) -> None:
    """Send what a fault makes of an answer on a websocket."""
    if fault.kind is Kind.TIMEOUT:
        await asyncio.sleep(fault.seconds)
        await client.send_json(answer)
    elif fault.kind in {Kind.STATUS, Kind.LIMITED}:
        await client.send_json(limited(answer, fault.text))
    elif fault.kind is Kind.HTML:
        await client.send_str(f"<html>{fault.text}</html>")
    elif fault.kind is Kind.TRUNCATED:
        whole = json.dumps(answer)
        await client.send_str(whole[: len(whole) // 2])
    elif fault.kind is Kind.BOMB:  # the client agrees to no compression
        await client.send_str("[" + "[]," * (bombs.FULL // 3) + "1]")
    elif request.transport is not None:
        request.transport.abort()


def limited(answer: Any, text: str) -> Any:
    """Return the answer, or each of a batch, as a provider that has had enough."""
    if isinstance(answer, list):
        return [limited(one, text) for one in answer]
    return {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": LIMIT, "message": text}}


def _instead(answer: Any, fault: Fault) -> web.Response | None:
    """Return the response that a fault puts in an answer's place, if it puts one there."""
    match fault.kind:
        case Kind.STATUS:
            patience = fault.status == web.HTTPTooManyRequests.status_code
            headers = {"Retry-After": str(fault.amount)} if patience else {}
            return web.Response(status=fault.status, text=fault.text, headers=headers)
        case Kind.LIMITED:
            return web.json_response(limited(answer, fault.text))
        case Kind.HTML:
            return web.Response(text=f"<html>{fault.text}</html>", content_type="text/html")
        case Kind.BOMB:
            return web.Response(body=_bomb(), headers={"Content-Encoding": "gzip"})
    return None


@functools.cache
def _bomb() -> bytes:
    """Return 65 KB that become 64 MiB of empty lists."""
    return bombs.compressed(bombs.lists())


async def _truncated(request: web.Request, body: bytes) -> web.StreamResponse:
    """Send half of what the header promises, then hang up."""
    response = web.StreamResponse(headers={"Content-Length": str(len(body))})
    response.content_type = "application/json"
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
