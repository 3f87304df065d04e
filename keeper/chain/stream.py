"""What websocket and ipc share: many requests in flight on one connection, notifications."""

import abc
import asyncio
from collections import OrderedDict
from collections.abc import Collection
from typing import Final

from keeper.chain.endpoint import Endpoint
from keeper.chain.fields import Json
from keeper.chain.transport import Notifications, Timeouts, decoded_json
from keeper.domain.errors import ChainError, RpcMalformed, RpcUnavailable

EARLY_SUBSCRIPTIONS: Final = 16
"""Notifications kept for subscriptions whose id nobody has asked for yet."""


class StreamTransport(abc.ABC):
    """
    One connection, opened when needed and again after a loss.

    Subclasses open it, write to it, read messages from it and close it.
    """

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        self.endpoint = endpoint
        self.streams = True
        self._timeouts = timeouts
        self._opening = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Json]] = {}
        self._batches: set[asyncio.Future[Json]] = set()
        self._newest_id = 0
        self._heard: OrderedDict[str, Notifications] = OrderedDict()
        self._openings = 0
        self._is_lost = False
        self._messages = 0

    @property
    def generation(self) -> int:
        """Which connection the next message goes over: the open one, or one more."""
        return self._openings + (not self._is_open)

    @property
    def _is_open(self) -> bool:
        reading = self._reading is not None and not self._reading.done()
        return reading and not self._is_lost  # closing a lost one takes its time

    @abc.abstractmethod
    async def _open(self) -> None:
        """Connect; OSError, TimeoutError or RpcUnavailable where that fails."""

    @abc.abstractmethod
    async def _write(self, body: bytes) -> None:
        """Send one message."""

    @abc.abstractmethod
    async def _next(self) -> bytes | str | None:
        """Return the next message; None when the other side closed."""

    @abc.abstractmethod
    async def _shut(self) -> None:
        """Close the connection, if there is one."""

    async def exchange(self, body: bytes, ids: Collection[int], timeout: float) -> Json:  # noqa: ASYNC109 - one bound over connect, write and wait
        """Send a request or batch and wait for the answer with one of its ids."""
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        before, opening = self._messages, self._openings
        try:
            async with asyncio.timeout(timeout):
                await self._ensure_open()
                opening = self._openings
                for number in ids:
                    self._waiting[number] = answer
                if len(ids) > 1:
                    self._batches.add(answer)
                self._newest_id = max(self._newest_id, *ids)
                await self._write(body)
                return await answer
        except TimeoutError:
            if self._messages == before:  # an open connection that says nothing is a lost one
                await self.close()
            raise RpcUnavailable(f"{self.endpoint} did not answer in time") from None
        except OSError as error:
            if opening == self._openings:  # somebody else has not made it anew yet
                await self._lost(type(error).__name__)
            raise RpcUnavailable(
                f"{self.endpoint} did not answer: {type(error).__name__}"
            ) from None
        finally:
            self._batches.discard(answer)
            for number in ids:
                self._waiting.pop(number, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # a failure nobody waits for any more is no news

    def notifications(self, subscription: str) -> Notifications:
        """Return what arrives for a subscription; ends with an error when the connection does."""
        heard = self._heard.setdefault(subscription, Notifications())
        if not self._is_open:
            heard.put(RpcUnavailable(f"{self.endpoint} closed the connection"))
        return heard

    async def close(self) -> None:
        """Close the connection; whoever waits gets ``RpcUnavailable``."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
        await self._lost("closed")

    async def _ensure_open(self) -> None:
        async with self._opening:
            if self._is_open:
                return
            async with asyncio.timeout(self._timeouts.connect):
                await self._shut()
                await self._open()
            self._openings += 1
            self._is_lost = False
            self._reading = asyncio.create_task(self._read(), name="read-node")

    async def _read(self) -> None:
        reason = "closed by the node"
        try:
            while (message := await self._next()) is not None:
                self._messages += 1
                self._dispatch(decoded_json(message))
        except OSError as error:
            reason = type(error).__name__
        except ChainError as error:
            await self._lost(str(error), error)
            return
        await self._lost(reason)

    def _dispatch(self, message: Json) -> None:
        if isinstance(message, dict) and "method" in message and "id" not in message:
            self._notify(message)
            return
        answers = message if isinstance(message, list) else [message]
        numbers = [answer.get("id") for answer in answers if isinstance(answer, dict)]
        waiting = self._waiters(numbers)
        for answer in waiting:
            if not answer.done():
                answer.set_result(message)
        if not waiting and not all(
            isinstance(number, int) and number <= self._newest_id for number in numbers
        ):
            raise RpcMalformed("the node answered a request that was never made")

    def _waiters(self, numbers: list[Json]) -> set[asyncio.Future[Json]]:
        """Return who waits for a message with these ids."""
        for number in numbers:
            if isinstance(number, int) and number in self._waiting:
                return {self._waiting[number]}
        if numbers not in ([], [None]):
            return set()
        # Without an id it refuses a whole message: one of the batches, or the only one waiting.
        alone = set(self._waiting.values())
        return set(self._batches) or (alone if len(alone) == 1 else set())

    def _notify(self, message: dict[str, Json]) -> None:
        params = message.get("params")
        if not isinstance(params, dict) or not isinstance(params.get("subscription"), str):
            raise RpcMalformed("a notification names no subscription")
        heard = self._heard.setdefault(str(params["subscription"]), Notifications())
        heard.put(params.get("result"))
        while len(self._heard) > EARLY_SUBSCRIPTIONS:
            self._heard.popitem(last=False)

    async def _lost(self, reason: str, error: ChainError | None = None) -> None:
        """Tell everybody who waits that the connection is gone."""
        self._is_lost = True
        cause = error or RpcUnavailable(f"{self.endpoint} lost the connection: {reason}")
        for answer in set(self._waiting.values()):
            if not answer.done():
                answer.set_exception(cause)
        heard, self._heard = self._heard, OrderedDict()
        for notifications in heard.values():
            notifications.put(RpcUnavailable(f"{self.endpoint} lost the connection"))
        await self._shut()
