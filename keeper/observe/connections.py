"""Bounds of HTTP connections in number, time and size, and of their logs.

Idle, slow or numerous clients must not exclude others. A share of the connections is reserved for
new clients. To admit those, the oldest connections are closed, first those without a complete
request.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from aiohttp import web

KEPT_FREE: Final = 4
"""Divisor of the share of connections reserved for new clients."""
MOST_BYTES: Final = 65_536
"""Maximum of bytes per connection, several times that of a request."""
_END: Final = b"\r\n\r\n"
"""The end of a request without a body."""
QUIET_SECONDS: Final = 60.0
"""Minimum interval between two logs of bad requests."""

log = logging.getLogger(f"{__name__}.requests")


@dataclass(slots=True)
class BadRequests(logging.Filter):
    """Log filter that reduces aiohttp's report of a bad request to one line without a traceback.

    At most one line per minute. ``clock`` is in seconds.
    """

    clock: Callable[[], float] = time.monotonic
    _said: float | None = None
    _unsaid: int = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a record, or drop it."""
        now = self.clock()
        if self._said is not None and now - self._said < QUIET_SECONDS:
            self._unsaid += 1
            return False
        error = record.exc_info[0] if record.exc_info else None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = "observe_bad_request reason=%s more_before=%d"
        record.args = (error.__name__ if error is not None else "unknown", self._unsaid)
        record.exc_info = record.exc_text = None
        self._said, self._unsaid = now, 0
        return True


@dataclass(slots=True)
class Connections:
    """Protocol factory that limits connections. ``open`` lists them, oldest first.

    At most ``most`` connections are open, each for at most ``seconds``.
    """

    server: web.Server
    loop: asyncio.AbstractEventLoop
    most: int
    seconds: float
    open: dict["_BoundedConnection", None] = field(default_factory=dict)

    def __call__(self) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection, closing an old one at the limit."""
        share = self.most // KEPT_FREE
        waiting = [known for known in self.open if not known.is_heard]
        if len(self.open) >= self.most and not share:
            return _RefusedConnection()
        # mutation: F43 connection-count
        if len(self.open) >= self.most or len(waiting) >= self.most - share:
            next(iter([*waiting, *self.open])).end()
        made = _BoundedConnection(self)
        self.open[made] = None
        self.loop.call_later(self.seconds, made.end)  # mutation: F43 connection-time
        return made


class _RefusedConnection(asyncio.Protocol):
    """A connection beyond the limit."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close the connection."""
        cast("asyncio.Transport", transport).abort()


class _BoundedConnection(asyncio.Protocol):
    """One client's connection, which passes bounded input to aiohttp's protocol."""

    def __init__(self, among: Connections) -> None:
        self.is_heard = False
        self._received = 0
        self._last = b""
        self._among = among
        self._handler = among.server()
        self._transport: asyncio.Transport | None = None
        self._is_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start, unless the connection was already closed to admit others."""
        self._transport = cast("asyncio.Transport", transport)
        self._handler.connection_made(self._transport)
        if self._is_ended:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on the client's data, up to its bound."""
        self._received += len(data)
        self.is_heard = self.is_heard or _END in self._last + data
        self._last = (self._last + data)[1 - len(_END) :]
        if self._received > MOST_BYTES:
            self.end()
        elif not self._is_ended:
            self._handler.data_received(data)

    def eof_received(self) -> None:
        """Pass on the end of the client's data."""
        self._handler.eof_received()

    def pause_writing(self) -> None:
        """Pass on that the client reads too slowly."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client has caught up."""
        self._handler.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Free the connection's slot."""
        self._among.open.pop(self, None)
        self._is_ended = True
        self._handler.connection_lost(exc)

    def end(self) -> None:
        """Close the connection at once, with its unread and unwritten data."""
        self._among.open.pop(self, None)
        self._is_ended = True
        if self._transport is not None:
            self._transport.abort()
