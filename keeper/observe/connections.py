"""
Bounds of the HTTP connections: in number, time and size, and in what is logged of them.

Whoever opens many, says nothing, or speaks slowly must not keep others out: a share of the
connections is kept for new clients, before whom the oldest give way, those without a whole
request first.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from aiohttp import web

KEPT_FREE: Final = 4
"""One in so many connections is for clients that have just come."""
MOST_BYTES: Final = 65_536
"""What a client may send over one connection: several times what a request needs."""
_END: Final = b"\r\n\r\n"
"""What ends a request that has no body."""
QUIET_SECONDS: Final = 60.0
"""How long nothing more is logged of bad requests after one was."""

log = logging.getLogger(f"{__name__}.requests")


@dataclass(slots=True)
class BadRequests(logging.Filter):
    """
    Turns what aiohttp logs of a bad request into one line without its traceback.

    There is one in a minute at most; ``clock`` is in seconds.
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
    """
    Makes the protocol of each connection; ``open`` are all, oldest first.

    There are ``most`` at a time, and none lasts longer than ``seconds``.
    """

    server: web.Server
    loop: asyncio.AbstractEventLoop
    most: int
    seconds: float
    open: dict["_Connection", None] = field(default_factory=dict)

    def __call__(self) -> asyncio.BaseProtocol:
        """Return the protocol of a new connection, ending one that is too many."""
        share = self.most // KEPT_FREE
        waiting = [known for known in self.open if not known.is_heard]
        if len(self.open) >= self.most and not share:
            return _Refused()
        if len(self.open) >= self.most or len(waiting) >= self.most - share:
            next(iter([*waiting, *self.open])).end()
        made = _Connection(self)
        self.open[made] = None
        self.loop.call_later(self.seconds, made.end)
        return made


class _Refused(asyncio.Protocol):
    """A connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End it."""
        cast("asyncio.Transport", transport).abort()


class _Connection(asyncio.Protocol):
    """One client's connection: aiohttp's protocol within bounds."""

    def __init__(self, among: Connections) -> None:
        self.is_heard = False
        self._received = 0
        self._last = b""
        self._among = among
        self._handler = among.server()
        self._transport: asyncio.Transport | None = None
        self._is_ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless others have taken its place already."""
        self._transport = cast("asyncio.Transport", transport)
        self._handler.connection_made(self._transport)
        if self._is_ended:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass on what a client says, up to its bound."""
        self._received += len(data)
        self.is_heard = self.is_heard or _END in self._last + data
        self._last = (self._last + data)[1 - len(_END) :]
        if self._received > MOST_BYTES:
            self.end()
        elif not self._is_ended:
            self._handler.data_received(data)

    def eof_received(self) -> None:
        """Pass on that the client says nothing more."""
        self._handler.eof_received()

    def pause_writing(self) -> None:
        """Pass on that the client reads too slowly."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the client has read."""
        self._handler.resume_writing()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room."""
        self._among.open.pop(self, None)
        self._is_ended = True
        self._handler.connection_lost(exc)

    def end(self) -> None:
        """End it at once, whatever has not been read or written yet."""
        self._among.open.pop(self, None)
        self._is_ended = True
        if self._transport is not None:
            self._transport.abort()
