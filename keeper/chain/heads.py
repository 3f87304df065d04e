"""Merges the new heads of all endpoints. The newest wins.

A newest head stays current while an endpoint in use builds on it. Another endpoint's shorter chain,
or a node that falls back to an earlier block, changes nothing. Only the newest head is delivered,
so the consumer fills gaps.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Final

from keeper.chain.listening import Listener, Pace
from keeper.chain.reader import NodeReader
from keeper.chain.standing import State
from keeper.chain.tending import CHECK_SECONDS, Tending
from keeper.domain.errors import ChainError, RpcUnavailable
from keeper.domain.head import Head
from keeper.domain.units import BlockHash
from keeper.latest import Latest

__all__ = ["Heads", "Pace"]

KNOWN: Final = 1024
"""Blocks remembered, to tell a node that fell back from a chain that was reorganised."""

log = logging.getLogger(__name__)


class Heads:
    """``HeadSource`` over all endpoints of a reader.

    ``trouble`` is called with the error of each failed attempt. The source continues by itself and
    never ends. While it is read it also monitors the endpoints. Failed ones are probed, and every
    ``check_seconds`` each one's chain is checked again.
    """

    def __init__(
        self,
        reader: NodeReader,
        *,
        pace: Pace | None = None,
        trouble: Callable[[ChainError], None] | None = None,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        rpc = reader.rpc
        self._pool = rpc.pool
        pace = pace or Pace()
        trouble = trouble or _ignore
        places = range(len(rpc.transports))
        self._listeners = [Listener(rpc, at, pace, self._accept_head, trouble) for at in places]
        self._tending = Tending(rpc, check_seconds=check_seconds)
        self._newest: Latest[Head] = Latest()
        self._known: OrderedDict[BlockHash, None] = OrderedDict()

    async def heads(self) -> AsyncGenerator[Head]:
        """Yield each new head once. Only the newest if the reader is slower than the chain.

        Close the iterator (``contextlib.aclosing``) when leaving early.
        """
        await self._tending.first()
        following = self._start_tasks()
        yielded: Head | None = None
        try:
            while True:
                head = await self._wait_for_head(following)
                if yielded is None or head.hash != yielded.hash:
                    yielded = head
                    yield head
        finally:
            for task in following:
                task.cancel()
            await asyncio.wait(following)

    def _start_tasks(self) -> list[asyncio.Task[Any]]:
        work: list[tuple[str, Coroutine[Any, Any, object]]] = []
        for at, listener in enumerate(self._listeners):
            work.append((f"follow-heads-{at}", listener.follow()))
            work.append((f"tend-endpoint-{at}", self._tending.follow(at)))
        return [asyncio.create_task(one, name=name) for name, one in work]

    async def _wait_for_head(self, following: list[asyncio.Task[Any]]) -> Head:
        """Wait for the newest head. Raises the error of a task that ended unexpectedly."""
        waiting = asyncio.create_task(self._newest.get(), name="next-head")
        try:
            await asyncio.wait([waiting, *following], return_when=asyncio.FIRST_COMPLETED)
            ended = [task for task in following if task.done()]
            if ended and not waiting.done():
                ended[0].result()
                raise RpcUnavailable("the heads ended")
            return await waiting
        finally:
            waiting.cancel()

    def _accept_head(self, at: int, head: Head) -> None:
        """Record an endpoint's head, and deliver the newest of all if it changed."""
        self._pool.heard(at, head)
        newest = self._find_newest()
        if newest is not None and self._is_new_head(newest):
            self._remember(newest)
            self._pool.hand_on(newest)
            self._newest.put(newest)

    def _find_newest(self) -> Head | None:
        current = self._pool.current
        heads = [
            head
            for at, seen in enumerate(self._pool.sightings)
            if (head := seen.head) is not None
            and self._pool.standings[at].state in (State.ALIVE, State.COOLING)
        ]
        stood_on = current is not None and any(one.hash == current.hash for one in heads)
        if stood_on and current is not None:
            heads = [current, *heads]  # between equals the first one stays
        return max(heads, key=lambda one: one.number, default=None)

    def _is_new_head(self, head: Head) -> bool:
        """Return whether a head is ahead, or on another branch after the old one was left."""
        current = self._pool.current
        if self._tending.is_before_finality(head):
            return False
        if current is None:
            return True
        if head.hash == current.hash:
            return False
        if head.number >= current.number:
            return True
        fell_back = head.hash in self._known  # mutation: F08 fell-back
        too_far = current.number - head.number > self._pool.rules.lag_blocks
        return not (fell_back or too_far)

    def _remember(self, head: Head) -> None:
        for known in (head.parent_hash, head.hash):
            self._known[known] = None
            self._known.move_to_end(known)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)


def _ignore(_: ChainError) -> None:
    """Do nothing."""


def tell_trouble(error: ChainError) -> None:
    """Log the error of a failed attempt to follow heads."""
    log.warning("heads_interrupted code=%s reason=%s", error.code, error)
