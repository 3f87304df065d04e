"""JSON-RPC over a unix socket. Documents follow one another, usually one per line."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Final

from keeper.chain.bounds import ANY, MAX_ANSWER_BYTES
from keeper.chain.endpoint import Endpoint
from keeper.chain.stream import StreamTransport
from keeper.chain.structure import Structure
from keeper.chain.transport import Timeouts

CHUNK: Final = 2**18


class IpcTransport(StreamTransport):
    """A node behind a socket in the file system."""

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        super().__init__(endpoint, timeouts)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._documents = Documents(self._compute_most_bytes)

    async def _open(self) -> None:
        self._streams = await asyncio.open_unix_connection(self.endpoint.address, limit=CHUNK)
        self._documents = Documents(self._compute_most_bytes)

    async def _write(self, body: bytes) -> None:
        if self._streams is None:
            raise ConnectionResetError
        self._streams[1].write(body + b"\n")
        await self._streams[1].drain()

    async def _read_next(self) -> bytes | None:
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
    """Splits a byte stream into JSON documents within the limit ``most_bytes``.

    Nodes end a document with a line feed. Without one, a document ends when its first bracket is
    closed.
    """

    def __init__(self, most_bytes: Callable[[], int] = lambda: MAX_ANSWER_BYTES) -> None:
        self._most_bytes = most_bytes
        self._ready: deque[bytes] = deque()
        self._start_document()

    def feed(self, part: bytes) -> None:
        """Add received bytes.

        Raises:
            RpcTooLarge: a document exceeds the limit.
            RpcMalformed: it has too many values, or is nested too deeply.
        """
        *complete, rest = part.split(b"\n")
        for end in complete:
            if end or self._parts:
                self._parts.append(end)
                self._finish()
        if rest:
            self._parts.append(rest)
            self._size += len(rest)
            if self._size > self._most_bytes():
                raise ANY.too_large()
            self._structure.feed(rest)
            if self._structure.is_complete:
                self._finish()

    def taken(self) -> bytes | None:
        """Return the oldest complete document. None if there is none yet."""
        return self._ready.popleft() if self._ready else None

    def _start_document(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._structure = Structure(ANY, is_exact=True)

    def _finish(self) -> None:
        document = b"".join(self._parts).strip()
        self._start_document()
        if document:
            self._ready.append(document)
