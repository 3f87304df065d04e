"""Builds notifications, with channels and subscriptions over a journal."""

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

from keeper.clock import wall
from keeper.config import Channel as ChannelSettings
from keeper.config import Notify
from keeper.domain.errors import ConfigError, JournalError, KeeperError
from keeper.domain.telling import Backlog
from keeper.notify.alarms import Alarms
from keeper.notify.dispatcher import Dispatcher
from keeper.notify.pace import Pace
from keeper.notify.ports import Channel
from keeper.notify.subscribed import Subscribed
from keeper.observe.events import Event
from keeper.storage.database import Database
from keeper.storage.outbox_store import OutboxStore

log = logging.getLogger(__name__)

Emit = Callable[[Event], None]

RELOAD_SECONDS: Final = 2.0
"""Seconds between two checks for changed subscriptions."""
FLUSH_SECONDS: Final = 5.0
"""Timeout of the last deliveries of a stopping keeper. The others follow at the next start."""
PAUSE_SECONDS: Final = 10.0
"""Pause before a failed task is restarted."""
HOUR_SECONDS: Final = 3_600

Look = Callable[[], Awaitable[Backlog]]
"""Returns the outbox's backlog."""


def channel_of(settings: ChannelSettings) -> Channel:
    """Build the channel of a ``[[notify.channel]]`` section. Nothing is sent yet.

    Raises:
        ConfigError: its address is invalid for its kind, or Apprise is not installed.
    """
    module = importlib.import_module(f"keeper.notify.channels.{settings.kind}")
    secret = settings.secret.get_secret_value() if settings.secret else ""
    try:
        channel: Channel = module.build(settings.url.get_secret_value(), secret)
    except ConfigError as error:
        raise ConfigError(f"notify.channel {settings.name!r}: {error}", hint=error.hint) from None
    return channel


def pace_of(settings: Notify) -> Pace:
    """Build the schedule of deliveries and retries."""
    return Pace(
        group_seconds=settings.group_seconds,
        digest_above=settings.digest_above,
        max_per_minute=settings.max_per_minute,
        timeout_seconds=settings.timeout_seconds,
        first_retry_seconds=settings.first_retry_seconds,
        longest_retry_seconds=settings.longest_retry_seconds,
        give_up_seconds=settings.give_up_after_hours * HOUR_SECONDS,
        alarm_after_failures=settings.alarm_after_failures,
    )


@contextlib.asynccontextmanager
async def notifying(
    settings: Notify,
    database: Database,
    emit: Emit,
    alarms: Alarms,
    *,
    clock: Callable[[], float] = wall,
) -> AsyncIterator[Look]:
    """Deliver the outbox while the context lasts.

    An error that stops the keeper is delivered, too. At the end, deliveries are attempted for
    ``FLUSH_SECONDS``, and the remaining ones wait for the next start. Without a channel, notices
    are stored and never delivered.

    Raises:
        ConfigError: a channel's address or the subscriptions are wrong.
    """
    channels = {one.name: channel_of(one) for one in settings.channel}
    subscribed = Subscribed(settings.subscriptions, list(channels))
    store = OutboxStore(database)
    dispatcher = Dispatcher(
        outbox=store,
        channels=channels,
        choose=subscribed,
        pace=pace_of(settings),
        emit=emit,
        head=alarms.head,
        alarms=alarms.taken,
        clock=clock,
    )
    tasks = [
        asyncio.create_task(_run_restarting(dispatcher.run), name="notify"),
        asyncio.create_task(
            _run_restarting(partial(_reload_subscriptions, subscribed)), name="reload-subscriptions"
        ),
    ]
    try:
        yield store.backlog
    except KeeperError as error:
        with contextlib.suppress(JournalError):
            await store.enqueue([alarms.stopped(error)], int(clock()))
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await dispatcher.flush(FLUSH_SECONDS)
        for channel in channels.values():
            await channel.close()


async def _reload_subscriptions(subscribed: Subscribed) -> None:
    while True:
        await asyncio.sleep(RELOAD_SECONDS)
        subscribed.refresh()


async def _run_restarting(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run an endless task and restart it after an error, independent of liquidations."""
    while True:
        task = asyncio.create_task(work())
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        error = task.exception()
        log.error("notifications_interrupted error=%s", type(error).__name__, exc_info=error)
        await asyncio.sleep(PAUSE_SECONDS)
