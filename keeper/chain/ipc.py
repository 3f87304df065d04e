"""JSON-RPC over a unix socket: documents one after the other, usually one a line."""

import asyncio
import contextlib
from typing import Final

from keeper.chain.endpoint import Endpoint
from keeper.chain.stream import StreamTransport
from keeper.chain.transport import MAX_ANSWER_BYTES, Timeouts, decoded_json, too_large
from keeper.domain.errors import RpcMalformed

CHUNK: Final = 2**18


class IpcTransport(StreamTransport):
    """A node behind a socket in the file system."""

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        super().__init__(endpoint, timeouts)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._documents = Documents()

    async def _open(self) -> None:
        self._streams = await asyncio.open_unix_connection(self.endpoint.address, limit=CHUNK)
        self._documents = Documents()

    async def _write(self, body: bytes) -> None:
        if self._streams is None:
            raise ConnectionResetError
        self._streams[1].write(body + b"\n")
        await self._streams[1].drain()

    async def _next(self) -> bytes | str | None:
        while (document := self._documents.taken()) is None:
            part = b"" if self._streams is None else await self._streams[0].read(CHUNK)
            if not part:
                return None
            self._documents.feed(part)
        return document

    async def _shut(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
            with contextlib.suppress(OSError):
                await streams[1].wait_closed()


class Documents:
    """
    Cuts a stream of bytes into JSON documents.

    Nodes end a document with a line feed; those that do not are understood too:
    what has arrived is tried as a whole when it ends with a closing bracket.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._ready: list[bytes] = []

    def feed(self, part: bytes) -> None:
        """Take bytes as they come."""
        *complete, rest = part.split(b"\n")
        for end in complete:
            self._parts.append(end)
            self._finish()
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > MAX_ANSWER_BYTES:
                raise too_large()
            if rest.endswith((b"}", b"]")) and _is_document(b"".join(self._parts)):
                self._finish()

    def taken(self) -> bytes | None:
        """Return the oldest complete document; None where there is none yet."""
        return self._ready.pop(0) if self._ready else None

    def _finish(self) -> None:
        document = b"".join(self._parts).strip()
        self._parts, self._size = [], 0
        if document:
            self._ready.append(document)


def _is_document(raw: bytes) -> bool:
    try:
        decoded_json(raw)
    except RpcMalformed:
        return False
    return True
