"""Follows one endpoint's new heads by subscription, or by polling.

A subscription that is silent for a while is checked by fetching the head. If the node has a newer
one, the subscription is renewed. If the new one announces nothing either, or subscriptions are
refused, the head is polled, and after a while subscriptions are tried again. A lost connection is
restored with growing pauses.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from keeper.chain.capabilities import Capability
from keeper.chain.fields import Json, hash32, head_of
from keeper.chain.headers import read_head
from keeper.chain.polling import KNOWN_GAPS, poll_pause
from keeper.chain.rpc import Rpc
from keeper.chain.transport import Notifications
from keeper.domain.errors import (
    BlockUnknown,
    ChainError,
    RpcBusy,
    RpcMalformed,
    RpcRefused,
    RpcUnavailable,
)
from keeper.domain.head import Head
from keeper.domain.units import BlockHash

LOOPBACK_POLL: Final = 0.25
REMOTE_POLL: Final = 1.0
JITTER: Final = 0.25
LEAST_SILENCE: Final = 2.0
"""A new subscription is checked so soon, and any one of a fast chain."""
GAPS_OF_SILENCE: Final = 3
"""A subscription is checked when it is silent for so many times the usual gap between heads."""
DEAF_SUBSCRIPTIONS: Final = 2
"""So many in a row that announced nothing, while heads came, mean that none of them will."""
LOOK_SECONDS: Final = 1.0
"""How often a node that is left alone is looked at again: it may be needed earlier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Intervals in seconds. ``poll`` None depends on whether the node is local."""

    poll: float | None = None
    silence: float = 15.0
    """A subscription silent for this long is checked against the head; on a fast chain sooner."""
    pause: float = 0.1
    longest_pause: float = 5.0


def jittered(seconds: float) -> float:
    """Return a pause with jitter, so that keepers do not reconnect simultaneously."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


class Listener:
    """Follows the endpoint at ``at``. ``heard`` gets each new head.

    ``trouble`` is called with the error of each failed attempt. It continues by itself.
    """

    def __init__(
        self,
        rpc: Rpc,
        at: int,
        pace: Pace,
        heard: Callable[[int, Head], None],
        trouble: Callable[[ChainError], None],
    ) -> None:
        self._rpc = rpc
        self._at = at
        self._pace = pace
        self._heard = heard
        self._trouble = trouble
        self._newest: Head | None = None
        self._heard_at: float | None = None
        self.gaps = deque[float](maxlen=KNOWN_GAPS)
        self._deaf = 0

    async def follow(self) -> NoReturn:
        """Subscribe, poll and reconnect forever."""
        pause = self._pace.pause
        while True:
            before = self._newest
            try:
                await self._wait_for_rest()
                await self._rpc.ensure_identified(self._at)
                await self._listen_or_poll()
            except ChainError as error:
                if isinstance(error, RpcMalformed) and error.excessive:
                    self._rpc.pool.garbled(self._at, error)
                self._trouble(error)
            if self._newest is not before:
                pause = self._pace.pause
            await asyncio.sleep(jittered(pause))
            pause = min(2 * pause, self._pace.longest_pause)

    async def _listen_or_poll(self) -> None:
        await self._fetch_newest()
        if not self._can_subscribe():
            await self._poll()
        try:
            announced = await self._rpc.subscribe("newHeads", at=self._at)
        except (RpcRefused, RpcMalformed, RpcBusy) as error:
            self._note_lack(str(error))
            raise
        await self._fetch_newest()  # what was mined while subscribing
        await self._listen(announced)

    def _can_subscribe(self) -> bool:
        streams = self._rpc.transports[self._at].streams
        return streams and self._rpc.capabilities.has(self._at, Capability.SUBSCRIPTIONS)

    def _note_lack(self, reason: str) -> None:
        self._rpc.capabilities.learn_lack(self._at, Capability.SUBSCRIPTIONS, reason)

    async def _listen(self, announced: Notifications) -> None:
        """Report announced heads until the subscription ends or proves to be deaf."""
        has_announced, silence = False, self.longest_silence(has_announced=False)
        while True:
            try:
                async with asyncio.timeout(silence):  # mutation: F07 silent-subscription
                    notification = await announced.get()
            except TimeoutError:
                if not await self._fetch_newest():
                    silence = min(2 * silence, self._pace.silence)
                    continue
                self._note_deaf(has_announced=has_announced)
                raise RpcUnavailable("the subscription fell silent") from None
            has_announced, self._deaf = True, 0
            self._rpc.capabilities.learn_success(self._at, Capability.SUBSCRIPTIONS)
            silence = self.longest_silence(has_announced=True)
            try:
                await self._accept_announcement(notification)
            except BlockUnknown as error:  # the subscription is sound, only this block is missing
                self._trouble(error)

    def longest_silence(self, *, has_announced: bool) -> float:
        """Return the seconds of silence after which a subscription is checked."""
        if not has_announced or self.gaps:
            longest = GAPS_OF_SILENCE * max(self.gaps, default=0.0)
            return min(self._pace.silence, max(LEAST_SILENCE, longest))
        return self._pace.silence

    def _note_deaf(self, *, has_announced: bool) -> None:
        """Count a subscription that announced nothing. After a few the head is polled."""
        self._deaf = 0 if has_announced else self._deaf + 1
        if self._deaf >= DEAF_SUBSCRIPTIONS:
            self._deaf = 0
            self._note_lack("subscriptions announce nothing")

    async def _accept_announcement(self, notification: Json) -> None:
        """Report an announced head, or the node's newest if it differs."""
        head = await self._resolve_head(notification)
        newest = self._newest
        if newest is not None and head.number <= newest.number and head.hash != newest.hash:
            await self._fetch_newest()  # late news, or a reorganisation: the node knows
        else:
            self._report_head(head)

    async def _poll(self) -> None:
        """Fetch the head repeatedly until subscriptions are to be tried."""
        near = self._rpc.transports[self._at].endpoint.is_loopback
        interval = self._pace.poll or (LOOPBACK_POLL if near else REMOTE_POLL)
        while not self._can_subscribe():
            since = time.monotonic() - (self._heard_at or 0.0)
            await asyncio.sleep(poll_pause(interval, self.gaps, since))
            await self._wait_for_rest()
            try:
                await self._fetch_newest()
            except BlockUnknown as error:  # the next look is as soon as a new connection's
                self._trouble(error)

    async def _wait_for_rest(self) -> None:
        """Wait as long as the node's rate limit asks for."""
        pool = self._rpc.pool
        while (wait := pool.standings[self._at].rests_until - pool.clock()) > 0:  # noqa: ASYNC110 - it may be put off meanwhile
            await asyncio.sleep(min(wait, LOOK_SECONDS))

    async def _fetch_newest(self) -> bool:
        """Fetch the newest head and report it. Return whether it was new."""
        return self._report_head(await read_head(self._rpc, None, only=self._at))

    async def _resolve_head(self, notification: Json) -> Head:
        """Return the announced head. Fetches the block if the announcement lacks a field."""
        try:
            return head_of(notification)
        except RpcMalformed:
            hashed = notification.get("hash") if isinstance(notification, dict) else None
            if not isinstance(hashed, str):
                raise
            wanted = hash32(hashed, "the announced hash")
            return await read_head(self._rpc, BlockHash(wanted), only=self._at)

    def _report_head(self, head: Head) -> bool:
        if self._newest is not None and self._newest.hash == head.hash:
            return False
        now = time.monotonic()
        if self._heard_at is not None:
            self.gaps.append(now - self._heard_at)
        self._newest, self._heard_at = head, now
        self._heard(self._at, head)
        return True
