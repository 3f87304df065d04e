"""Delivery of notices from the outbox, with routing, grouping and retries per channel."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from keeper.clock import wall
from keeper.domain.errors import JournalError, NotTold
from keeper.domain.head import Head
from keeper.domain.notice import Notice, NoticeKind
from keeper.domain.telling import Outgoing
from keeper.notify.pace import JITTER, RATE_SECONDS, Pace
from keeper.notify.ports import Channel, Outbox
from keeper.notify.rendering import message_of

log = logging.getLogger(__name__)

Event = dict[str, object]
Choose = Callable[[Notice], Sequence[str]]

TURN_SECONDS: Final = 0.5
"""Interval between two checks of the outbox."""
DISK_SECONDS: Final = 5.0
"""Pause after a disk error."""
ABOUT_CHANNEL: Final = "channel:"
"""Prefix of the keys of alarms about a channel, followed by its name and a line break."""


@dataclass(slots=True, kw_only=True)
class Dispatcher:
    """Delivers the outbox at least once and in order, channel by channel.

    ``choose`` selects the channels of a notice. ``head`` is the block that dates the dispatcher's
    own alarms, ``alarms`` returns further ones since its last call. A failing disk is waited for,
    and nothing is lost. ``clock`` dates what is stored and may jump. Waits use ``monotonic``.
    """

    outbox: Outbox
    channels: Mapping[str, Channel]
    choose: Choose
    pace: Pace
    emit: Callable[[Event], None]
    head: Callable[[], Head | None]
    alarms: Callable[[], Sequence[Notice]] = list
    clock: Callable[[], float] = wall
    monotonic: Callable[[], float] = time.monotonic
    _failures: dict[str, int] = field(default_factory=dict)
    _failing_since: dict[str, float] = field(default_factory=dict)
    _due: dict[str, tuple[int, float]] = field(default_factory=dict)

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_repeat_forever(self.routed), name="route-notices")
            for name in self.channels:
                tasks.create_task(_repeat_forever(partial(self.served, name)), name=f"tell-{name}")

    async def flush(self, seconds: float) -> None:
        """Deliver all that can be delivered now, within a bound. The rest stays in the outbox."""
        try:
            async with asyncio.timeout(seconds):
                await self.routed()
                await asyncio.gather(*(self._drain_channel(name) for name in self.channels))
        except (TimeoutError, JournalError) as error:
            log.warning("notifications_left code=%s", type(error).__name__)

    async def _drain_channel(self, name: str) -> None:
        while await self.served(name, hurried=True):
            pass

    async def routed(self) -> bool:
        """Persist new alarms and route new notices. Return whether there were any notices."""
        alarms = self.alarms()
        if alarms:
            await self.outbox.enqueue(alarms, self._read_clock())
        return bool(await self.outbox.route(self._choose_channels, self._read_clock()))

    def _choose_channels(self, notice: Notice) -> Sequence[str]:
        """Return the channels of a notice. A channel does not receive alarms about itself."""
        about = ""
        if notice.kind is NoticeKind.ALARM and notice.key.startswith(ABOUT_CHANNEL):
            about = notice.key.removeprefix(ABOUT_CHANNEL).partition("\n")[0]
        return [name for name in self.choose(notice) if name in self.channels and name != about]

    async def served(self, name: str, *, hurried: bool = False) -> bool:
        """Deliver a channel's next message, or compose it. Return whether there was work."""
        message = await self.outbox.next_message(name)
        if message is None:
            return await self._compose_messages(name, hurried=hurried)
        if not self._is_due(message):
            return False
        await self._try_delivery(message)
        return True

    def _is_due(self, message: Outgoing) -> bool:
        """Whether a message's next attempt is due, also after the clock jumped."""
        planned, due = self._due.get(message.channel, (None, 0.0))
        if planned == message.id:  # mutation: F25 retry-clock
            return self.monotonic() >= due
        wait = (
            message.due_at - self._read_clock()
        )  # stored by an earlier process, or not attempted yet
        return message.attempts == 0 or not 0 < wait <= self.pace.longest_wait

    async def _compose_messages(self, name: str, *, hurried: bool) -> bool:
        now = self._read_clock()
        waiting = await self.outbox.waiting(name)
        if not waiting or not (hurried or self.pace.is_ripe(waiting, now)):
            return False
        told = await self.outbox.sent_since(name, now - RATE_SECONDS, now)
        groups = self.pace.groups(waiting, self.pace.max_per_minute - told)
        for group in groups:
            waited = now - min(one.since for one in group)
            message = message_of(name, [one.notice for one in group], waited)
            await self.outbox.compose(name, message, [one.delivery for one in group], now)
        return bool(groups)

    async def _try_delivery(self, outgoing: Outgoing) -> None:
        """Deliver a message once, and persist the result."""
        name = outgoing.channel
        try:
            async with asyncio.timeout(self.pace.timeout_seconds):
                await self.channels[name].tell(outgoing.message)
        except (NotTold, TimeoutError) as error:
            failure = _to_delivery_error(error)
            await self._record_failure(outgoing, failure)  # mutation: G23 failed-message
            return  # mutation: G23 failed-message-ends
        self._failures[name] = 0
        self._failing_since.pop(name, None)
        await self.outbox.sent(outgoing.id, self._read_clock())
        self._emit_result(outgoing, "sent")

    async def _record_failure(self, outgoing: Outgoing, error: NotTold) -> None:
        name, now, why = outgoing.channel, self._read_clock(), str(error)
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        failing = self.monotonic() - self._failing_since.setdefault(name, self.monotonic())
        # After the clock was set forward every message looks old.
        too_old = failing >= self.pace.longest_retry_seconds and self.pace.gives_up(outgoing, now)
        if error.final or too_old:
            await self.outbox.given_up(outgoing.id, why, now)
            self._emit_result(outgoing, "dead", why)
            count = outgoing.message.count
            lost = "1 notice was" if count == 1 else f"{count:,} notices were"
            told = f"{lost} not delivered through {name}: {why}"
            # mutation: F42 refused-message
            await self._enqueue_alarm(f"{ABOUT_CHANNEL}{name}\ndead {outgoing.message.key}", told)
            return
        wait = self.pace.retry_after(failures, error.retry_after)
        spread = wait * random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
        self._due[name] = outgoing.id, self.monotonic() + spread
        await self.outbox.failed(outgoing.id, why, now + int(spread))
        self._emit_result(outgoing, "failed", why)
        if failures == self.pace.alarm_after_failures:
            told = f"the channel {name} failed {failures} times in a row: {why}"
            await self._enqueue_alarm(f"{ABOUT_CHANNEL}{name}\nfails {outgoing.message.key}", told)

    async def _enqueue_alarm(self, key: str, detail: str) -> None:
        """Enqueue an alarm about a failing channel for the other channels."""
        head = self.head()
        if head is None:
            return
        notice = Notice(
            key=key,
            kind=NoticeKind.ALARM,
            tier="",
            block_number=head.number,
            block_hash=head.hash,
            timestamp=head.timestamp,
            detail=detail,
        )
        await self.outbox.enqueue([notice], self._read_clock())

    def _emit_result(self, outgoing: Outgoing, result: str, why: str = "") -> None:
        self.emit(
            {
                "event": "notification",
                "channel": outgoing.channel,
                "result": result,
                "message": outgoing.message.key,
                "notices": outgoing.message.count,
                "attempt": outgoing.attempts + 1,
                "reason": why,
            }
        )

    def _read_clock(self) -> int:
        return int(self.clock())


def _to_delivery_error(error: NotTold | TimeoutError) -> NotTold:
    return error if isinstance(error, NotTold) else NotTold("no answer in time")


async def _repeat_forever(turn: Callable[[], Awaitable[bool]]) -> None:
    """Run a step repeatedly, without a pause while there is work."""
    while True:
        try:
            busy = await turn()
        except JournalError as error:
            log.warning("outbox_failed reason=%s", error)
            await asyncio.sleep(DISK_SECONDS)
        else:
            await asyncio.sleep(0 if busy else TURN_SECONDS)
