"""
New heads of all endpoints in one line, newest wins.

The newest head stands as long as an endpoint that is read from stands on it: another one's
shorter chain, or a node that falls back to a block of before, changes nothing. Only the newest
head is handed on; whoever follows fills gaps.
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
    """
    ``HeadSource`` over every endpoint of a reader.

    ``trouble`` is called with the error that each failed attempt met; the source goes on by
    itself and never ends. While it is read it also looks after the endpoints: those that
    failed are probed, and every ``check_seconds`` each one's chain is looked at again.
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
        trouble = trouble or _ignored
        places = range(len(rpc.transports))
        self._listeners = [Listener(rpc, at, pace, self._heard, trouble) for at in places]
        self._tending = Tending(rpc, check_seconds=check_seconds)
        self._newest: Latest[Head] = Latest()
        self._known: OrderedDict[BlockHash, None] = OrderedDict()

    async def heads(self) -> AsyncGenerator[Head]:
        """
        Yield each new head once; the newest only, when the reader is slower than the chain.

        Close the iterator (``contextlib.aclosing``) when leaving early.
        """
        await self._tending.first()
        following = self._started()
        yielded: Head | None = None
        try:
            while True:
                head = await self._next_or_failure(following)
                if yielded is None or head.hash != yielded.hash:
                    yielded = head
                    yield head
        finally:
            for task in following:
                task.cancel()
            await asyncio.wait(following)

    def _started(self) -> list[asyncio.Task[Any]]:
        work: list[tuple[str, Coroutine[Any, Any, object]]] = []
        for at, listener in enumerate(self._listeners):
            work.append((f"follow-heads-{at}", listener.follow()))
            work.append((f"tend-endpoint-{at}", self._tending.follow(at)))
        return [asyncio.create_task(one, name=name) for name, one in work]

    async def _next_or_failure(self, following: list[asyncio.Task[Any]]) -> Head:
        """Return the newest head; raises what ended the following, which nothing should."""
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

    def _heard(self, at: int, head: Head) -> None:
        """Take an endpoint's head, and hand on the newest of all if it is another one now."""
        self._pool.heard(at, head)
        newest = self._newest_of_all()
        if newest is not None and self._is_news(newest):
            self._remember(newest)
            self._pool.hand_on(newest)
            self._newest.put(newest)

    def _newest_of_all(self) -> Head | None:
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

    def _is_news(self, head: Head) -> bool:
        """Whether a head goes on: one ahead, or another branch's where the old one was left."""
        current = self._pool.current
        if self._tending.is_before_finality(head):
            return False
        if current is None:
            return True
        if head.hash == current.hash:
            return False
        if head.number >= current.number:
            return True
        fell_back = head.hash in self._known
        too_far = current.number - head.number > self._pool.rules.lag_blocks
        return not (fell_back or too_far)

    def _remember(self, head: Head) -> None:
        for known in (head.parent_hash, head.hash):
            self._known[known] = None
            self._known.move_to_end(known)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)


def _ignored(_: ChainError) -> None:
    """Do nothing."""


def tell_trouble(error: ChainError) -> None:
    """Log what an attempt to hear of heads met."""
    log.warning("heads_interrupted code=%s reason=%s", error.code, error)
