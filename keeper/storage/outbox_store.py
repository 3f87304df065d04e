"""The outbox over the journal's file: each call a transaction."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from keeper.domain.notice import CLOSING, Notice
from keeper.domain.telling import Backlog, Message, Outgoing, Waiting
from keeper.storage import outbox
from keeper.storage.database import Database

AT_ONCE: Final = 250
"""Notices that are read in one go: a transaction of the submit journal waits no longer."""


class OutboxStore:
    """See ``keeper.notify.ports.Outbox``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue(self, told: Sequence[Notice], now: int) -> int:
        """Keep notices; returns the new ones."""
        return await self._database.write(outbox.enqueue, told, now)

    async def route(self, choose: Callable[[Notice], Sequence[str]], now: int) -> int:
        """Give every new notice its channels; returns how many notices there were."""
        total = 0
        while found := await self._database.write(_routed, choose, now):
            total += found
        return total

    async def next_message(self, channel: str) -> Outgoing | None:
        """Return the channel's oldest message that waits."""
        return await self._database.write(outbox.next_message, channel)

    async def waiting(self, channel: str) -> list[Waiting]:
        """Return what the channel is to be told of and no message tells yet."""
        found = list[Waiting]()
        while True:
            after = found[-1].delivery if found else 0
            part = await self._database.write(outbox.waiting, channel, after, AT_ONCE)
            found += part
            if len(part) < AT_ONCE:
                return found

    async def compose(self, channel: str, message: Message, told: Sequence[int], now: int) -> None:
        """Keep the message that tells these deliveries."""
        await self._database.write(outbox.compose, channel, message, told, now)

    async def sent(self, message: int, now: int) -> None:
        """Keep that the channel took it."""
        await self._database.write(outbox.sent, message, now)

    async def failed(self, message: int, why: str, again_at: int) -> None:
        """Keep that it did not get through."""
        await self._database.write(outbox.failed, message, why, again_at)

    async def given_up(self, message: int, why: str, now: int) -> None:
        """Keep that it is not tried again."""
        await self._database.write(outbox.given_up, message, why, now)

    async def sent_since(self, channel: str, since: int, until: int | None = None) -> int:
        """Return how many messages the channel took since a time."""
        return await self._database.write(outbox.sent_since, channel, since, until)

    async def backlog(self) -> Backlog:
        """Return how much is still to be told."""
        return await self._database.write(outbox.backlog)


def _routed(connection: Connection, choose: Callable[[Notice], Sequence[str]], now: int) -> int:
    found = outbox.unrouted(connection, AT_ONCE)
    if found:
        chosen = {at: choose(_as_called(connection, notice)) for at, notice in found}
        outbox.route(connection, chosen, now)
    return len(found)


def _as_called(connection: Connection, notice: Notice) -> Notice:
    """
    Return what a notice is routed by: how an episode ends is told to whoever was told of it.

    After a liquidation or a repayment the debt is another one, or there is none: it counts what
    was owed at most while there were calls.
    """
    if notice.kind not in CLOSING:
        return notice
    owed = outbox.most_owed(connection, notice)
    return notice if owed is None else replace(notice, debt_usd_e8=owed)
