"""Interface of transports to a node, and their common parts."""

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Protocol

from keeper.chain.bounds import MAX_ANSWER_BYTES
from keeper.chain.decoding import decoded_json
from keeper.chain.endpoint import Endpoint
from keeper.chain.fields import Json

__all__ = ["MAX_ANSWER_BYTES", "Notifications", "Timeouts", "Transport", "decoded_json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Timeouts in seconds."""

    connect: float = 5.0
    request: float = 10.0
    reads: float = 8.0
    """After this long a read is not repeated any more."""


class Notifications:
    """Unread notifications of one subscription. The oldest are dropped.

    ``room`` limits all of them. Long ones use more of it.
    """

    DEPTH: Final = 1024
    UNIT_BYTES: Final = 4096

    def __init__(self, room: int = DEPTH) -> None:
        self.room = room
        self._waiting: deque[tuple[Json | Exception, int]] = deque()
        self._taken = 0
        self._arrived = asyncio.Event()

    def put(self, item: Json | Exception, size: int = 0) -> None:
        """Add a notification of ``size`` bytes, or the error that ended the subscription."""
        units = 1 + size // self.UNIT_BYTES
        while self._waiting and self._taken + units > self.room:
            self._taken -= self._waiting.popleft()[1]
        self._waiting.append((item, units))
        self._taken += units
        self._arrived.set()

    async def get(self) -> Json:
        """Wait for the next notification. Raises the error that ended the subscription."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        item, units = self._waiting.popleft()
        self._taken -= units
        if isinstance(item, Exception):
            raise item
        return item


class Transport(Protocol):
    """A transport to one node. Connects on first use and again after a loss.

    Every method raises ``RpcUnavailable`` if the node is unreachable or does not answer in time,
    and ``RpcMalformed`` for an answer that is not JSON or exceeds its bound. Errors never contain
    the endpoint's URL.
    """

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint."""
        ...

    @property
    def streams(self) -> bool:
        """Whether the transport supports subscriptions."""
        ...

    @property
    def generation(self) -> int:
        """The number of the connection for the next message. Constant while it lasts."""
        ...

    async def exchange(self, body: bytes, ids: Collection[int], timeout: float) -> Json:  # noqa: ASYNC109 - each transport bounds its own steps
        """Send one request or batch with these ids and return the node's answer, decoded.

        ``Expected`` ids carry the bound of the answer.
        """
        ...

    def notifications(self, subscription: str) -> Notifications:
        """Return the notifications of a subscription of this connection."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
