"""Monitors endpoints while the node runs, by probes, chain identity and finality.

A failed endpoint is probed until its failures are paid off. Chain id, a known contract's code and
the finalized block are checked every few minutes and after each reconnect, since a load balancer
may switch to another node.
"""

import asyncio
import contextlib
import logging
from typing import Final, NoReturn

from keeper.chain.fields import head_of
from keeper.chain.finalized import ask_finalized
from keeper.chain.headers import BY_NUMBER, ONLY_HASHES
from keeper.chain.listening import jittered
from keeper.chain.pool import FINALIZED
from keeper.chain.rpc import Rpc
from keeper.chain.standing import State
from keeper.domain.errors import BlockUnknown, ChainError, RpcMalformed, RpcRefused
from keeper.domain.head import Head

log = logging.getLogger(__name__)

PROBE_SECONDS: Final = 2.0
"""How often an endpoint that failed is asked."""
CHECK_SECONDS: Final = 180.0
"""How often an endpoint that does not is looked at all the same."""
FIRST_SECONDS: Final = 5.0
"""How long the first look may hold up the start."""

_PROBED: Final = (State.UNDIALLED, State.UNREACHABLE, State.WRONG_CHAIN, State.QUARANTINED)


class Tending:
    """Monitors the endpoints of an ``Rpc`` and reports to its pool."""

    def __init__(self, rpc: Rpc, *, check_seconds: float = CHECK_SECONDS) -> None:
        self._rpc = rpc
        self._pool = rpc.pool
        self._check_seconds = check_seconds
        self._checked_at: dict[int, float] = {}

    async def first(self) -> None:
        """Check all endpoints in use once, before they are needed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await asyncio.gather(*(self._check_endpoint(at) for at in self._pool.alive()))

    async def follow(self, at: int) -> NoReturn:
        """Probe and check one endpoint forever."""
        while True:
            await asyncio.sleep(jittered(min(PROBE_SECONDS, self._check_seconds)))
            now = self._pool.clock()
            if now < self._pool.standings[at].rests_until:
                continue
            if self._needs_probe(at):
                with contextlib.suppress(ChainError):
                    await self._rpc.identify(at)
            elif now - self._checked_at.get(at, now - self._check_seconds) >= self._check_seconds:
                await self._check_endpoint(at)

    def is_before_finality(self, head: Head) -> bool:
        """Return whether a head is older than a final block, so that no chain can be trusted."""
        final = self._pool.finalized
        before = final is not None and (
            head.number < final.number or (head.number == final.number and head.hash != final.hash)
        )
        found = self._pool.disagreements
        if before and final is not None:
            detail = f"the newest block is {head.number}, and {final.number} was final"
            found.found(FINALIZED, "head", detail, lasting=True)
        else:
            found.settled(FINALIZED, "head")
        return before

    def _needs_probe(self, at: int) -> bool:
        one = self._pool.standings[at]
        if one.state in _PROBED:
            return True
        return len(self._pool) > 1 and (one.state is State.COOLING or one.failures > 0)

    async def _check_endpoint(self, at: int) -> None:
        """Check an endpoint's chain and its finalized block."""
        self._checked_at[at] = self._pool.clock()
        with contextlib.suppress(ChainError):
            await self._rpc.identify(at)
            await self._update_finality(at)

    async def _update_finality(self, at: int) -> None:
        try:
            final = await ask_finalized(self._rpc, at)
        except (RpcRefused, RpcMalformed, BlockUnknown):
            if self._pool.finality.get(at) is None:
                log.warning(
                    "finalized_unsupported endpoint=%d hint=%s",
                    at,
                    "policy.confirmations decides what is final",
                )
            self._pool.finality[at] = False
            return
        self._pool.finality[at] = True
        before = self._pool.finalized
        if before is None or await self._has_finalized(at, before, final):
            self._pool.finalized = final if before is None else max(before, final, key=_get_height)

    async def _has_finalized(self, at: int, before: Head, final: Head) -> bool:
        """Return whether an endpoint has the final block. Reports a disagreement if not."""
        try:
            same = final.number == before.number
            known = final if same else await self._fetch_block(at, before.number)
        except BlockUnknown:
            return False  # it is behind, and says nothing about that block
        if known.hash == before.hash:
            self._pool.disagreements.settled(FINALIZED, str(at))
            return True
        detail = f"endpoint {at} has another block {before.number}, which was final"
        self._pool.disagreements.found(FINALIZED, str(at), detail, lasting=True)
        return False

    async def _fetch_block(self, at: int, number: int) -> Head:
        answer = await self._rpc.ask(at, BY_NUMBER, hex(number), ONLY_HASHES)
        if answer is None:
            raise BlockUnknown("the node does not know the block")
        return head_of(answer)


def _get_height(head: Head) -> int:
    return head.number
