"""The outbox in the journal's file, one transaction per call."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection

from keeper.domain.notice import CLOSING, Notice
from keeper.domain.telling import Backlog, Message, Outgoing, Waiting
from keeper.storage import outbox
from keeper.storage.database import Database

AT_ONCE: Final = 250
"""Notices per transaction, so that the submission journal waits only briefly."""


class OutboxStore:
    """``Outbox`` of ``keeper.notify.ports`` over a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def enqueue(self, told: Sequence[Notice], now: int) -> int:
        """Persist notices. Return the number of new ones."""
        return await self._database.write(outbox.enqueue, told, now)

    async def route(self, choose: Callable[[Notice], Sequence[str]], now: int) -> int:
        """Assign channels to every new notice. Return the number of notices."""
        total = 0
        while found := await self._database.write(_route_page, choose, now):
            total += found
        return total

    async def next_message(self, channel: str) -> Outgoing | None:
        """Return the channel's oldest undelivered message."""
        return await self._database.write(outbox.next_message, channel)

    async def waiting(self, channel: str) -> list[Waiting]:
        """Return the channel's notices that are not yet in a message."""
        found = list[Waiting]()
        while True:
            after = found[-1].delivery if found else 0
            part = await self._database.write(outbox.waiting, channel, after, AT_ONCE)
            found += part
            if len(part) < AT_ONCE:
                return found

    async def compose(self, channel: str, message: Message, told: Sequence[int], now: int) -> None:
        """Persist a message that contains these deliveries."""
        await self._database.write(outbox.compose, channel, message, told, now)

    async def sent(self, message: int, now: int) -> None:
        """Persist that the channel accepted a message."""
        await self._database.write(outbox.sent, message, now)

    async def failed(self, message: int, why: str, again_at: int) -> None:
        """Persist a failed attempt, with the time of the next one."""
        await self._database.write(outbox.failed, message, why, again_at)

    async def given_up(self, message: int, why: str, now: int) -> None:
        """Persist that a message is not retried."""
        await self._database.write(outbox.given_up, message, why, now)

    async def sent_since(self, channel: str, since: int, until: int | None = None) -> int:
        """Return the number of messages accepted since a time."""
        return await self._database.write(outbox.sent_since, channel, since, until)

    async def backlog(self) -> Backlog:
        """Return the undelivered notices and messages."""
        return await self._database.write(outbox.backlog)


def _route_page(connection: Connection, choose: Callable[[Notice], Sequence[str]], now: int) -> int:
    found = outbox.unrouted(connection, AT_ONCE)
    if found:
        chosen = {at: choose(_as_routed(connection, notice)) for at, notice in found}
        outbox.route(connection, chosen, now)
    return len(found)


def _as_routed(connection: Connection, notice: Notice) -> Notice:
    """Return a notice for routing. A closing notice goes to the channels of its calls.

    After a liquidation or repayment the debt has changed. Routing uses the largest debt of the
    calls.
    """
    if notice.kind not in CLOSING:
        return notice
    owed = outbox.most_owed(connection, notice)
    return notice if owed is None else replace(notice, debt_usd_e8=owed)
