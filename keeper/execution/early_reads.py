"""Prefetched reads that signing needs, started during the simulation."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from keeper.chain.concurrent import begin
from keeper.domain.errors import ChainError
from keeper.domain.head import Head
from keeper.domain.units import Address, BlockHash
from keeper.execution.chain import Chain

T = TypeVar("T")

FRESH_SECONDS: Final = 0.25
"""Maximum age of a prefetched answer. An older one is fetched again before signing."""


@dataclass(slots=True, kw_only=True)
class EarlyReads:
    """Prefetched transaction count of the sender, and block at a head's height.

    A result is used once, if it is fresh. A failed read is repeated.
    """

    sender: Address
    _begun: tuple[BlockHash, float] | None = field(default=None, init=False)
    _count: asyncio.Task[int] | None = field(default=None, init=False)
    _head: asyncio.Task[Head] | None = field(default=None, init=False)

    def begin(self, chain: Chain, head: Head) -> None:
        """Start both reads and return at once."""
        for task in (self._count, self._head):
            if task is not None:
                task.cancel()
        self._begun = head.hash, time.monotonic()
        self._count = begin(chain.transaction_count(self.sender))
        self._head = begin(chain.head(head.number))

    async def fetch_count(self, chain: Chain, head: Head) -> int:
        """Return the sender's transaction count. ChainError if it cannot be read."""
        task, self._count = self._count, None
        return await self._await_or_fetch(task, head, lambda: chain.transaction_count(self.sender))

    async def fetch_head(self, chain: Chain, head: Head) -> Head:
        """Return the block at a head's height. ChainError if it cannot be read."""
        task, self._head = self._head, None
        return await self._await_or_fetch(task, head, lambda: chain.head(head.number))

    async def _await_or_fetch(
        self, task: asyncio.Task[T] | None, head: Head, ask: Callable[[], Awaitable[T]]
    ) -> T:
        """Return the prefetched answer if it is fresh and did not fail. Otherwise fetch it."""
        if task is not None and self._is_fresh(head):
            with contextlib.suppress(ChainError):
                return await task
        return await ask()

    def _is_fresh(self, head: Head) -> bool:
        if self._begun is None:
            return False
        block, moment = self._begun
        return block == head.hash and time.monotonic() - moment <= FRESH_SECONDS
