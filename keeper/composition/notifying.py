"""Telling people, put together: channels and subscriptions over a journal's file."""

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
"""How often it is looked whether the subscriptions changed."""
FLUSH_SECONDS: Final = 5.0
"""How long an ending keeper tells what it can; what is left is told at the next start."""
PAUSE_SECONDS: Final = 10.0
"""How long to leave alone what ended by an error of its own."""
HOUR_SECONDS: Final = 3_600

Look = Callable[[], Awaitable[Backlog]]
"""Returns how much is still to be told."""


def channel_of(settings: ChannelSettings) -> Channel:
    """
    Return the channel of a ``[[notify.channel]]`` section; nothing is sent yet.

    Raises:
        ConfigError: its address is none of its kind's, or Apprise is not installed.
    """
    module = importlib.import_module(f"keeper.notify.channels.{settings.kind}")
    secret = settings.secret.get_secret_value() if settings.secret else ""
    try:
        channel: Channel = module.build(settings.url.get_secret_value(), secret)
    except ConfigError as error:
        raise ConfigError(f"notify.channel {settings.name!r}: {error}", hint=error.hint) from None
    return channel


def pace_of(settings: Notify) -> Pace:
    """Return how often channels are told and tried."""
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
    """
    Tell what is in the outbox while the context lasts.

    An error that ends the keeper is told, too. At the end what can be told within
    ``FLUSH_SECONDS`` is told; the rest is kept for the next start. Without a channel notices
    are kept and told to nobody, now or later.

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
        asyncio.create_task(_kept_up(dispatcher.run), name="notify"),
        asyncio.create_task(_kept_up(partial(_reloading, subscribed)), name="reload-subscriptions"),
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


async def _reloading(subscribed: Subscribed) -> None:
    while True:
        await asyncio.sleep(RELOAD_SECONDS)
        subscribed.refresh()


async def _kept_up(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do what never ends; after an error of its own again, for liquidations go on without it."""
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
