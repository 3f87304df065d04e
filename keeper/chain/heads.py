"""
New heads, newest wins: announced by the node where it can, asked for where it cannot.

A subscription that says nothing for a while is not trusted: the head is asked for, and
if the node has moved on without a word, the subscription is made anew. A lost connection is
made again with growing pauses. Only the newest head is handed on; whoever follows fills gaps.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from keeper.chain.fields import Json, hash32, head_of
from keeper.chain.reader import NodeReader
from keeper.chain.transport import Notifications
from keeper.domain.errors import (
    ChainError,
    RpcMalformed,
    RpcRefused,
    RpcUnavailable,
    SnapshotReorged,
)
from keeper.domain.head import Head
from keeper.domain.units import BlockHash
from keeper.latest import Latest

LOOPBACK_POLL: Final = 0.25
REMOTE_POLL: Final = 1.0
JITTER: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often and how long, in seconds; ``poll`` of None: by whether the node is near."""

    poll: float | None = None
    silence: float = 15.0
    """A subscription silent for this long is checked against the head."""
    pause: float = 0.1
    longest_pause: float = 5.0


class Heads:
    """
    ``HeadSource`` over a node.

    ``trouble`` is called with the error that each failed attempt met; the source goes on by
    itself and never ends.
    """

    def __init__(
        self,
        reader: NodeReader,
        *,
        pace: Pace | None = None,
        trouble: Callable[[ChainError], None] | None = None,
    ) -> None:
        self._reader = reader
        self._pace = pace or Pace()
        self._trouble = trouble or _ignored
        self._newest: Latest[Head] = Latest()
        self._announced: Head | None = None
        self._can_subscribe = True

    async def heads(self) -> AsyncIterator[Head]:
        """
        Yield each new head once; the newest only, when the reader is slower than the chain.

        Close the iterator (``contextlib.aclosing``) when leaving early.
        """
        following = asyncio.create_task(self._follow(), name="follow-heads")
        yielded: Head | None = None
        try:
            while True:
                head = await self._next_or_failure(following)
                if yielded is None or head.hash != yielded.hash:
                    yielded = head
                    yield head
        finally:
            following.cancel()
            await asyncio.wait([following])

    async def _next_or_failure(self, following: asyncio.Task[None]) -> Head:
        """Return the newest head; raises what ended the following, which nothing should."""
        waiting = asyncio.create_task(self._newest.get(), name="next-head")
        try:
            await asyncio.wait([waiting, following], return_when=asyncio.FIRST_COMPLETED)
            if following.done() and not waiting.done():
                following.result()
                raise RpcUnavailable("the heads ended")
            return await waiting
        finally:
            waiting.cancel()

    async def _follow(self) -> None:
        pause = self._pace.pause
        while True:
            before = self._announced
            try:
                await self._listen_or_poll()
            except (RpcUnavailable, RpcRefused, RpcMalformed, SnapshotReorged) as error:
                self._trouble(error)
            if self._announced is not before:
                pause = self._pace.pause
            # A pause that differs between keepers: they must not all return at once.
            await asyncio.sleep(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret
            pause = min(2 * pause, self._pace.longest_pause)

    async def _listen_or_poll(self) -> None:
        await self._backfill()
        if not (self._can_subscribe and self._reader.rpc.transport.streams):
            await self._poll()
        try:
            heard = await self._reader.rpc.subscribe("newHeads")
        except RpcRefused:
            self._can_subscribe = False
            raise
        await self._backfill()  # what was mined while subscribing
        await self._listen(heard)

    async def _listen(self, heard: Notifications) -> None:
        """Announce what the subscription says, until it ends or proves to be deaf."""
        while True:
            try:
                async with asyncio.timeout(self._pace.silence):
                    notification = await heard.get()
            except TimeoutError:
                if await self._backfill():
                    raise RpcUnavailable("the subscription fell silent") from None
                continue
            head = await self._head_of(notification)
            newest = self._announced
            if newest is not None and head.number <= newest.number and head.hash != newest.hash:
                await self._backfill()  # late news, or a reorganisation: the node knows
            else:
                self._announce(head)

    async def _poll(self) -> NoReturn:
        near = self._reader.rpc.transport.endpoint.is_loopback
        interval = self._pace.poll or (LOOPBACK_POLL if near else REMOTE_POLL)
        while True:
            await asyncio.sleep(interval)
            await self._backfill()

    async def _backfill(self) -> bool:
        """Ask for the newest head and announce it; whether it was news."""
        return self._announce(await self._reader.head())

    async def _head_of(self, notification: Json) -> Head:
        """Return the announced head; read the block where the announcement lacks a field."""
        try:
            return head_of(notification)
        except RpcMalformed:
            hashed = notification.get("hash") if isinstance(notification, dict) else None
            if not isinstance(hashed, str):
                raise
            return await self._reader.head(BlockHash(hash32(hashed, "the announced hash")))

    def _announce(self, head: Head) -> bool:
        if self._announced is not None and self._announced.hash == head.hash:
            return False
        self._announced = head
        self._newest.put(head)
        return True


def _ignored(_: ChainError) -> None:
    """Do nothing."""
