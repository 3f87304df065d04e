"""Transports that note messages and their times, so that a benchmark adds no delay."""

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keeper.chain.endpoint import Endpoint, endpoint
from keeper.chain.fields import Json
from keeper.chain.http import HttpTransport
from keeper.chain.ipc import IpcTransport
from keeper.chain.transport import Timeouts, Transport
from keeper.chain.websocket import WebSocketTransport
from keeper.domain.errors import ConfigError

TRANSPORTS: Final = ("ws", "http", "ipc")
SEND: Final = "eth_sendRawTransaction"

Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Noted:
    """One message with its time (``perf_counter_ns``), after writing or on arrival."""

    moment: int
    outgoing: bool
    message: bytes | str | Json


@dataclass(slots=True)
class Wire:
    """Messages since ``clear``. They are decoded on request only."""

    noted: list[Noted] = field(default_factory=list)

    def sent(self, body: bytes) -> None:
        """Note a message that was written."""
        self.noted.append(Noted(time.perf_counter_ns(), outgoing=True, message=body))

    def heard(self, message: bytes | str | Json) -> None:
        """Note a received message."""
        self.noted.append(Noted(time.perf_counter_ns(), outgoing=False, message=message))

    def clear(self) -> None:
        """Forget what passed."""
        self.noted.clear()

    def since_block(self, number: int) -> "Passed | None":
        """Return the messages after the announcement of block ``number``. None without one."""
        for at, noted in enumerate(self.noted):
            if not noted.outgoing and announced_block(document_of(noted.message)) == number:
                return Passed(start=noted.moment, noted=self.noted[at + 1 :])
        return None


@dataclass(frozen=True, slots=True)
class Passed:
    """Messages after an announcement at ``start``."""

    start: int
    noted: Sequence[Noted]

    def sends(self) -> list[int]:
        """List the times at which transactions were sent, in order."""
        return [
            one.moment
            for one in self.noted
            if one.outgoing and any(request["method"] == SEND for request in requests_of(one))
        ]

    def until_first_send(self) -> "Passed":
        """Return the part up to the first transaction's bytes, these included."""
        first = self.sends()[0]
        return Passed(self.start, [one for one in self.noted if one.moment <= first])

    def bodies(self) -> list[bytes]:
        """Return the messages that went out."""
        return [
            one.message for one in self.noted if isinstance(one.message, bytes) and one.outgoing
        ]

    def requests(self) -> list[Request]:
        """Return the requests that went out, one by one, in their order."""
        return [request for one in self.noted if one.outgoing for request in requests_of(one)]

    def methods(self) -> list[str]:
        """List the requested methods, in order."""
        return [request["method"] for request in self.requests()]


def document_of(message: bytes | str | Json) -> Json:
    """Decode a message to JSON. Websockets and ipc give text, http a decoded value."""
    if isinstance(message, (bytes, str)):
        document: Json = json.loads(message)
        return document
    return message


def requests_of(noted: Noted) -> list[Request]:
    """Return the requests of a message, one or a batch."""
    document: Any = document_of(noted.message)
    return document if isinstance(document, list) else [document]


def announced_block(message: Json) -> int | None:
    """Return the block announced by a message, a notification or a poll's answer."""
    if not isinstance(message, dict):
        return None
    params = message.get("params")
    header = params.get("result") if isinstance(params, dict) else message.get("result")
    number = header.get("number") if isinstance(header, dict) else None
    return int(number, 16) if isinstance(number, str) else None


class RecordedWebSocket(WebSocketTransport):
    """A websocket that notes what passes."""

    def __init__(self, place: Endpoint, timeouts: Timeouts, wire: Wire) -> None:
        super().__init__(place, timeouts)
        self._wire = wire

    async def _write(self, body: bytes) -> None:
        await super()._write(body)
        self._wire.sent(body)

    async def _read_next(self) -> bytes | None:
        message = await super()._read_next()
        self._wire.heard(message)
        return message


class RecordedIpc(IpcTransport):
    """A unix socket that notes what passes."""

    def __init__(self, place: Endpoint, timeouts: Timeouts, wire: Wire) -> None:
        super().__init__(place, timeouts)
        self._wire = wire

    async def _write(self, body: bytes) -> None:
        await super()._write(body)
        self._wire.sent(body)

    async def _read_next(self) -> bytes | None:
        message = await super()._read_next()
        self._wire.heard(message)
        return message


class RecordedHttp(HttpTransport):
    """HTTP connection that notes messages when they are passed to it."""

    def __init__(self, place: Endpoint, timeouts: Timeouts, wire: Wire) -> None:
        super().__init__(place, timeouts)
        self._wire = wire

    async def exchange(self, body: bytes, ids: Collection[int], timeout: float) -> Json:  # noqa: ASYNC109 - the protocol's
        """Exchange, and note both."""
        self._wire.sent(body)
        answer = await super().exchange(body, ids, timeout)
        self._wire.heard(answer)
        return answer


def recorded(address: str, wire: Wire) -> Transport:
    """Build the transport to ``address`` that notes everything on ``wire``."""
    place, timeouts = endpoint(address), Timeouts()
    if place.scheme == "ipc":
        return RecordedIpc(place, timeouts, wire)
    if place.scheme == "ws":
        return RecordedWebSocket(place, timeouts, wire)
    if place.scheme == "http":
        return RecordedHttp(place, timeouts, wire)
    raise ConfigError("the benchmark's node is a local one", hint="ws, http or ipc")
