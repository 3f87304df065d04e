"""A node over http, websocket or ipc that can put any bytes at all in place of an answer."""

import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import re
import struct
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Document = dict[str, Any]
Hostile = Callable[[int], Iterable[bytes]]
"""Yields what is written in place of the answer to a request with this id."""

TEXT, CONTINUATION, PING, PONG = 1, 0, 9, 10
STEP = 2**18
GOOD = {"eth_chainId": "0x1", "eth_blockNumber": "0x1", "eth_getCode": "0x60"}


def frame(payload: bytes, opcode: int = TEXT, *, final: bool = True, compressed: bool = False):
    """Return a websocket frame, as a server writes it."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 2**16:
        length = bytes([126]) + struct.pack(">H", size)
    else:
        length = bytes([127]) + struct.pack(">Q", size)
    return bytes([final << 7 | compressed << 6 | opcode]) + length + payload


def announced_frame(size: int) -> bytes:
    """Return the beginning of a frame that says how long it will be, and its first bytes."""
    return bytes([0x80 | TEXT, 127]) + struct.pack(">Q", size) + b'{"jsonrpc":"2.0"'


def http_response(body: bytes, *headers: str) -> bytes:
    """Return a whole http response."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class RawNode:
    """
    Answers as ``GOOD`` says until ``hostile`` is set, and then with its bytes.

    ``pause`` is between two of them; after the last it says nothing more.
    """

    scheme: str = "http"
    hostile: Hostile | None = None
    pause: float = 0.0
    folder: Path | None = None
    connections: int = 0
    asked: list[str] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    _server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where it is."""
        assert self._server is not None
        if self.scheme == "ipc":
            return str(self._server.sockets[0].getsockname())
        return f"{self.scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/secret-path"

    async def start(self) -> None:
        """Listen."""
        if self.scheme == "ipc":
            assert self.folder is not None
            self._server = await asyncio.start_unix_server(self._serve, self.folder / "node.ipc")
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        for writer in self.writers:
            writer.close()
        self._server.close()

    async def push(self, parts: Iterable[bytes]) -> None:
        """Write bytes that answer nothing, to the newest connection."""
        with contextlib.suppress(ConnectionError):
            await self._write(self.writers[-1], parts)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
        ):
            if self.scheme == "ws":
                await _shake_hands(reader, writer)
            while (request := await self._request(reader)) is not None:
                if isinstance(request, list):  # whatever is written answers the whole batch
                    request = request[0]
                self.asked.append(request["method"])
                if self.hostile is None:
                    await self._write(writer, [self._answer(request)])
                else:
                    await self._write(writer, self.hostile(request["id"]))
        writer.close()

    async def _write(self, writer: asyncio.StreamWriter, parts: Iterable[bytes]) -> None:
        for part in parts:
            for start in range(0, len(part), STEP):
                writer.write(part[start : start + STEP])
                await writer.drain()
            await asyncio.sleep(self.pause)

    async def _request(self, reader: asyncio.StreamReader) -> Document | None:
        if self.scheme == "ws":
            return await _read_frame(reader)
        if self.scheme == "ipc":
            line = await reader.readline()
            return json.loads(line) if line else None
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        assert length is not None
        return json.loads(await reader.readexactly(int(length[1])))

    def _answer(self, request: Document) -> bytes:
        result = GOOD.get(request["method"], "0x1")
        raw = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}).encode()
        return self.framed(raw)

    def framed(self, raw: bytes) -> bytes:
        """Return a message as this way to a node carries it."""
        if self.scheme == "ws":
            return frame(raw)
        return raw + b"\n" if self.scheme == "ipc" else http_response(raw)

    def streamed(self, parts: Iterable[bytes]) -> Iterable[bytes]:
        """Yield a message that does not say how long it will be, part by part."""
        if self.scheme == "http":
            yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for number, part in enumerate(parts):
            if self.scheme == "ws":
                yield frame(part, CONTINUATION if number else TEXT, final=False)
            elif self.scheme == "http":
                yield b"%x\r\n%b\r\n" % (len(part), part)
            else:
                yield part


def for_ever(part: bytes) -> Iterable[bytes]:
    """Yield the same again and again."""
    return itertools.repeat(part)


async def _shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)
    assert key is not None
    digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()  # noqa: S324 - RFC 6455
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


async def _read_frame(reader: asyncio.StreamReader) -> Document | None:
    first, second = await reader.readexactly(2)
    size = second & 127
    if size == 126:
        (size,) = struct.unpack(">H", await reader.readexactly(2))
    elif size == 127:
        (size,) = struct.unpack(">Q", await reader.readexactly(8))
    mask = await reader.readexactly(4)
    masked = await reader.readexactly(size)
    if first & 15 == PONG:
        return await _read_frame(reader)
    if first & 15 != TEXT:
        return None
    return json.loads(bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked)))


@contextlib.asynccontextmanager
async def raw_nodes(*made: RawNode) -> AsyncIterator[None]:
    """Run nodes while the context lasts."""
    for node in made:
        await node.start()
    try:
        yield
    finally:
        for node in made:
            await node.stop()
