"""Common part of websocket and ipc. Concurrent requests on one connection, and notifications."""

import abc
import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from keeper.chain.addressee import addressee, ids_of, is_notification
from keeper.chain.bounds import NOTIFICATION, Bound, Excess, expected_bound
from keeper.chain.decoding import Decoder
from keeper.chain.endpoint import Endpoint
from keeper.chain.fields import Json
from keeper.chain.transport import Notifications, Timeouts
from keeper.domain.errors import ChainError, RpcMalformed, RpcTooLarge, RpcUnavailable

EARLY_SUBSCRIPTIONS: Final = 16
"""Notifications kept for subscriptions whose id nobody has asked for yet."""
EARLY_ROOM: Final = 64
"""How many of each; once it is asked for there is room for more."""
LATE_ANSWERS: Final = 256
"""Requests whose answers may come after nobody waits for them any more."""
FLOOD_MESSAGES: Final = 4096
"""So many messages that answer nothing, within so many seconds, are no subscription's."""
FLOOD_SECONDS: Final = 10.0
TURN_MESSAGES: Final = 32
"""After so many messages in a row everybody else has a turn."""
SMALL_MESSAGE: Final = 16 * 1024
"""A message of this size is within anybody's bound."""


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A request that waits for its answer, and the bound of that."""

    answer: asyncio.Future[Json]
    bound: Bound
    is_batch: bool

    def fail(self, error: ChainError) -> None:
        """Set an error in place of the answer."""
        if not self.answer.done():
            self.answer.set_exception(error)


class StreamTransport(abc.ABC):
    """One connection, opened on demand and again after a loss.

    Subclasses open it, write to it, read messages from it and close it.
    """

    def __init__(self, endpoint: Endpoint, timeouts: Timeouts) -> None:
        self.endpoint = endpoint
        self.streams = True
        self._timeouts = timeouts
        self._decoder = Decoder()
        self._opening = asyncio.Lock()
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, Waiting] = {}
        self._late: OrderedDict[int, Bound] = OrderedDict()
        self._newest_id = 0
        self._heard: OrderedDict[str, Notifications] = OrderedDict()
        self._openings = 0
        self._is_lost = False
        self._messages = 0
        self._unasked = 0
        self._unasked_since = 0.0

    @property
    def generation(self) -> int:
        """The number of the connection for the next message. One more if none is open."""
        return self._openings + (not self._is_open)

    @property
    def _is_open(self) -> bool:
        reading = self._reading is not None and not self._reading.done()
        return reading and not self._is_lost  # closing a lost one takes its time

    @abc.abstractmethod
    async def _open(self) -> None:
        """Connect. OSError, TimeoutError or RpcUnavailable if that fails."""

    @abc.abstractmethod
    async def _write(self, body: bytes) -> None:
        """Send one message."""

    @abc.abstractmethod
    async def _read_next(self) -> bytes | None:
        """Return the next message. None if the other side closed.

        Raises:
            RpcTooLarge: it exceeds every expected size, and was not read.
        """

    @abc.abstractmethod
    async def _shut(self) -> None:
        """Close the connection, if there is one."""

    async def exchange(self, body: bytes, ids: Collection[int], timeout: float) -> Json:  # noqa: ASYNC109 - one bound over connect, write and wait
        """Send a request or batch and wait for the answer with one of its ids."""
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        waiting = Waiting(answer, expected_bound(ids), is_batch=len(ids) > 1)
        before, opening = self._messages, self._openings
        try:
            async with asyncio.timeout(timeout):
                await self._ensure_open()
                opening = self._openings
                for number in ids:
                    self._waiting[number] = waiting
                self._newest_id = max(self._newest_id, *ids)
                await self._write(body)
                return await answer
        except TimeoutError:
            if self._messages == before:  # an open connection that says nothing is a lost one
                await self.close()
            raise RpcUnavailable(f"{self.endpoint} did not answer in time") from None
        except OSError as error:
            if opening == self._openings:  # somebody else has not made it anew yet
                await self._drop_connection(type(error).__name__)
            raise RpcUnavailable(
                f"{self.endpoint} did not answer: {type(error).__name__}"
            ) from None
        finally:
            for number in ids:
                self._waiting.pop(number, None)
            if not answer.done() or answer.cancelled():
                self._expect_late(ids, waiting.bound)
            if answer.done() and not answer.cancelled():
                answer.exception()  # a failure nobody waits for any more is no news

    def _expect_late(self, ids: Collection[int], bound: Bound) -> None:
        """Store the bound of an answer that may arrive after its timeout."""
        self._late.update(dict.fromkeys(ids, bound))
        while len(self._late) > LATE_ANSWERS:
            self._late.popitem(last=False)

    def notifications(self, subscription: str) -> Notifications:
        """Return a subscription's notifications.

        They end with an error when the connection does.
        """
        heard = self._heard.setdefault(subscription, Notifications())
        heard.room = Notifications.DEPTH
        if not self._is_open:
            heard.put(RpcUnavailable(f"{self.endpoint} closed the connection"))
        return heard

    async def close(self) -> None:
        """Close the connection. Waiting requests get ``RpcUnavailable``."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait([reading])
        await self._drop_connection("closed")

    def _compute_most_bytes(self) -> int:
        """Return the length of the longest expected message."""
        return max(bound.size for bound in self._list_bounds())

    def _list_bounds(self) -> list[Bound]:
        """Return the bounds of all expected messages."""
        waiting = (waiting.bound for waiting in self._waiting.values())
        return [NOTIFICATION, *waiting, *self._late.values()]

    async def _ensure_open(self) -> None:
        async with self._opening:
            if self._is_open:
                return
            async with asyncio.timeout(self._timeouts.connect):
                await self._shut()
                await self._open()
            self._openings += 1
            self._late.clear()
            self._is_lost = False
            self._unasked = 0
            self._reading = asyncio.create_task(self._read(), name="read-node")

    async def _read(self) -> None:
        reason = "closed by the node"
        try:
            while (message := await self._read_next()) is not None:
                self._messages += 1
                await self._take(message)
                if self._messages % TURN_MESSAGES == 0:
                    await asyncio.sleep(0)
        except OSError as error:
            reason = type(error).__name__
        except RpcTooLarge as error:
            await self._drop_unread(error)
            return
        except ChainError as error:
            await self._drop_connection(str(error), error)
            return
        await self._drop_connection(reason)

    async def _take(self, message: bytes) -> None:
        """Decode a message within the bound of its request, and dispatch it."""
        waiting, bound = self._find_expected(message)
        try:
            document = await self._decoder.decode(message, bound)
        except RpcMalformed as error:
            if waiting is None:
                raise
            waiting.fail(error)
            if isinstance(error, RpcTooLarge) and not error.excessive:
                return  # it was one message, and it is over
            raise RpcUnavailable(str(error)) from None
        self._dispatch(document, len(message))

    def _find_expected(self, message: bytes) -> tuple[Waiting | None, Bound]:
        """Return the request that a message answers, if its ends show it, and its bound."""
        number = addressee(message) if len(message) > SMALL_MESSAGE else None
        if number is not None and number in self._waiting:
            waiting = self._waiting[number]
            return waiting, waiting.bound
        if number is not None and number in self._late:
            return None, self._late[number]
        return None, max(self._list_bounds(), key=lambda bound: bound.size)

    def _dispatch(self, document: Json, size: int) -> None:
        if is_notification(document):
            self._refuse_flood()
            self._notify(document, size)
            return
        numbers = ids_of(document)
        waiting = self._find_waiters(numbers)
        for waiter in waiting:
            if not waiter.answer.done():
                waiter.answer.set_result(document)
        if waiting:
            return
        self._refuse_flood()
        for number in numbers:
            if isinstance(number, int):
                self._late.pop(number, None)
        if not all(isinstance(number, int) and number <= self._newest_id for number in numbers):
            raise RpcMalformed("the node answered a request that was never made")

    def _find_waiters(self, numbers: list[Json]) -> set[Waiting]:
        """Return the waiting requests of a message with these ids."""
        for number in numbers:
            if isinstance(number, int) and number in self._waiting:
                return {self._waiting[number]}
        if numbers not in ([], [None]):
            return set()
        # Without an id it refuses a whole message: one of the batches, or the only one waiting.
        alone = set(self._waiting.values())
        return {one for one in alone if one.is_batch} or (alone if len(alone) == 1 else set())

    def _notify(self, document: Json, size: int) -> None:
        params = document.get("params") if isinstance(document, dict) else None
        if not isinstance(params, dict) or not isinstance(params.get("subscription"), str):
            raise RpcMalformed("a notification names no subscription")
        heard = self._heard.setdefault(str(params["subscription"]), Notifications(EARLY_ROOM))
        heard.put(params.get("result"), size)
        while len(self._heard) > EARLY_SUBSCRIPTIONS:
            self._heard.popitem(last=False)

    def _refuse_flood(self) -> None:
        """Raise RpcMalformed if more notifications arrive than any chain has news."""
        now = time.monotonic()
        if now - self._unasked_since > FLOOD_SECONDS:
            self._unasked, self._unasked_since = 0, now
        self._unasked += 1
        if self._unasked > FLOOD_MESSAGES:
            raise RpcMalformed("the node floods the connection with messages", excessive=True)

    async def _drop_unread(self, error: RpcTooLarge) -> None:
        """Drop a connection with a message that exceeds all expected sizes."""
        waiting = set(self._waiting.values())
        likely = {waiter for waiter in waiting if waiter.bound.excess is not Excess.FAULT}
        excusable = any(bound.excess is not Excess.FAULT for bound in self._list_bounds())
        for waiter in likely if excusable else waiting:
            waiter.fail(waiter.bound.too_large())
        await self._drop_connection(str(error), None if excusable else NOTIFICATION.too_large())

    async def _drop_connection(self, reason: str, error: ChainError | None = None) -> None:
        """Fail all waiting requests, since the connection is lost."""
        self._is_lost = True
        lost = RpcUnavailable(f"{self.endpoint} lost the connection: {reason}")
        for waiting in set(self._waiting.values()):
            waiting.fail(error or lost)
        heard, self._heard = self._heard, OrderedDict()
        excessive = isinstance(error, RpcMalformed) and error.excessive
        for notifications in heard.values():
            notifications.put(error if excessive and error is not None else lost)
        await self._shut()
