"""Connections with a limit on the processor time for parsing their bytes.

A body in one-byte chunks, or a hundred thousand interim responses, are neither large nor dense, and
would block the event loop. The processor time that the library spends on a connection's bytes is
measured instead.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import aiohttp
from aiohttp.client_proto import ResponseHandler

from keeper.chain.bounds import ANY
from keeper.domain.errors import RpcMalformed, RpcTooLarge

READ_BYTES: Final = 64 * 1024
"""Bytes that are taken from a socket in one go."""
QUEUED_BYTES: Final = 2**20
"""More than the messages that wait to be read may have together, before reading pauses."""
WINDOW_SECONDS: Final = 2.0
COSTLY_SECONDS: Final = 0.5
"""So much processor time within a window is more than any answer of real ones takes."""


class Meter:
    """Recent cost of a connection's bytes in seconds of processor time."""

    def __init__(self) -> None:
        self.is_exceeded = False
        self._spent = 0.0
        self._began = 0.0

    def add(self, seconds: float, now: float) -> None:
        """Add a cost. ``now`` is monotonic."""
        if now - self._began > WINDOW_SECONDS:
            self._began, self._spent = now, 0.0
        self._spent += seconds
        self.is_exceeded = self.is_exceeded or self._spent > COSTLY_SECONDS


class MeteredHandler(ResponseHandler):
    """Parses a connection's bytes, and closes it if that costs too much."""

    def __init__(self, connector: "MeteredConnector", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._connector = connector
        self._meter = Meter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Read in pieces that leave the event loop time for other work."""
        if hasattr(transport, "max_size"):
            transport.max_size = READ_BYTES
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Parse bytes and record the cost."""
        began = time.thread_time()
        super().data_received(data)
        self._meter.add(time.thread_time() - began, time.monotonic())
        self._connector.unread += len(data)
        fault = self._connector.fault or self._find_fault()
        if fault is not None and self.transport is not None:
            self._connector.fault = fault
            self.transport.abort()

    def _find_fault(self) -> RpcMalformed | None:
        if self._meter.is_exceeded:
            return RpcMalformed("the node's answer takes too long to take apart", excessive=True)
        return self._connector.too_large()


class MeteredConnector(aiohttp.TCPConnector):
    """Makes metered connections.

    ``fault`` is the error that closed one of them. If ``most_bytes`` states the limit of a message,
    ``unread`` counts the bytes since the last complete one.
    """

    def __init__(
        self,
        *,
        limit: int = 1,
        keepalive_timeout: float = 15.0,
        most_bytes: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)
        self.fault: RpcMalformed | None = None
        self.unread = 0
        self._most_bytes = most_bytes
        self._factory = partial(self._build_handler)

    def refuse_fault(self) -> None:
        """Raise, once, the error that closed a connection."""
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault

    def too_large(self) -> RpcTooLarge | None:
        """Return the error for a message that exceeds the limit."""
        if self._most_bytes is None or self.unread <= self._most_bytes() + QUEUED_BYTES:
            return None
        return ANY.too_large()

    def _build_handler(self) -> ResponseHandler:
        return MeteredHandler(self, self._loop)
