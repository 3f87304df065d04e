"""Reads that a signature waits for, begun while what would be signed is still simulated."""

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
"""An answer that was asked for earlier than this is asked for again before anything is signed."""


@dataclass(slots=True, kw_only=True)
class EarlyReads:
    """
    The sender's count of nonces, and the block at a head's height.

    What was begun for a head is used once, if it is fresh; what failed is asked for again.
    """

    sender: Address
    _begun: tuple[BlockHash, float] | None = field(default=None, init=False)
    _count: asyncio.Task[int] | None = field(default=None, init=False)
    _head: asyncio.Task[Head] | None = field(default=None, init=False)

    def begin(self, chain: Chain, head: Head) -> None:
        """Ask for both; returns at once."""
        for task in (self._count, self._head):
            if task is not None:
                task.cancel()
        self._begun = head.hash, time.monotonic()
        self._count = begin(chain.transaction_count(self.sender))
        self._head = begin(chain.head(head.number))

    async def fetch_count(self, chain: Chain, head: Head) -> int:
        """Return the sender's count of nonces; ChainError where it cannot be read."""
        task, self._count = self._count, None
        return await self._answer(task, head, lambda: chain.transaction_count(self.sender))

    async def fetch_head(self, chain: Chain, head: Head) -> Head:
        """Return the block at a head's height; ChainError where it cannot be read."""
        task, self._head = self._head, None
        return await self._answer(task, head, lambda: chain.head(head.number))

    async def _answer(
        self, task: asyncio.Task[T] | None, head: Head, ask: Callable[[], Awaitable[T]]
    ) -> T:
        """Return what was begun, if it is fresh and did not fail; otherwise ask."""
        if task is not None and self._is_fresh(head):
            with contextlib.suppress(ChainError):
                return await task
        return await ask()

    def _is_fresh(self, head: Head) -> bool:
        if self._begun is None:
            return False
        block, moment = self._begun
        return block == head.hash and time.monotonic() - moment <= FRESH_SECONDS
