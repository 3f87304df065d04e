"""Rows of the outbox, inside the caller's transaction. Times are Unix seconds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from keeper.domain.notice import Notice
from keeper.domain.telling import Backlog, Message, MessageState, Outgoing, Waiting
from keeper.storage.deliveries import delivery_entry
from keeper.storage.documents import canonical
from keeper.storage.notices import notice_document, notice_from
from keeper.storage.record import append
from keeper.storage.schema import deliveries, messages, notices

T = TypeVar("T")

CHUNK: Final = 500
"""Maximum of values in one statement, below the limits of SQLite and PostgreSQL."""


HELD: Final = 2**53
"""Routing time of a held notice, which is stored and not sent yet."""


def enqueue(connection: Connection, told: Sequence[Notice], now: int, *, held: bool = False) -> int:
    """Persist notices, except those with a known key. Return the number of new ones.

    ``held`` notices are not sent before ``release``.
    """
    by_key = {one.key: one for one in told}
    known = set[str]()
    for keys in _split_chunks(list(by_key)):
        known |= set(connection.scalars(select(notices.c.key).where(notices.c.key.in_(keys))))
    rows = [_build_notice_row(one, now) for key, one in by_key.items() if key not in known]
    if rows:
        waits = {"routed_at": HELD if held else None}
        connection.execute(insert(notices), [{**row, **waits} for row in rows])
    return len(rows)


def held(connection: Connection) -> list[Notice]:
    """Return the held notices, oldest first."""
    kept = select(notices.c.document).where(notices.c.routed_at == HELD).order_by(notices.c.id)
    return [notice_from(document) for document in connection.scalars(kept)]


def release(connection: Connection, told: Sequence[Notice]) -> None:
    """Release held notices for sending, with their present content."""
    if connection.scalar(select(notices.c.id).where(notices.c.routed_at == HELD).limit(1)) is None:
        return
    for one in told:
        connection.execute(
            update(notices)
            .where(notices.c.key == one.key, notices.c.routed_at == HELD)
            .values(document=notice_document(one), routed_at=None)
        )


def unrouted(connection: Connection, most: int) -> list[tuple[int, Notice]]:
    """Return notices without a routing, oldest first."""
    rows = connection.execute(
        select(notices.c.id, notices.c.document)
        .where(notices.c.routed_at.is_(None))
        .order_by(notices.c.id)
        .limit(most)
    )
    return [(row.id, notice_from(row.document)) for row in rows]


def most_owed(connection: Connection, closing: Notice) -> int | None:
    """Return the largest debt of an episode's notices before its closing one.

    In 1e-8 dollars. None without notices, or where a debt was unknown, which exceeds every
    threshold, so that every channel of the call also gets the closing notice.
    """
    episode = closing.key.rpartition("/")[0]
    kept = select(notices.c.document).where(
        notices.c.key > f"{episode}/", notices.c.key < f"{episode}0", notices.c.key != closing.key
    )
    debts = [notice_from(document).debt_usd_e8 for document in connection.scalars(kept)]
    known = [one for one in debts if one is not None]
    return max(known) if known and len(known) == len(debts) else None


def route(connection: Connection, channels: Mapping[int, Sequence[str]], now: int) -> None:
    """Persist the channels of each notice, which may be none."""
    rows = [
        {"notice_id": notice, "channel": channel}
        for notice, named in channels.items()
        for channel in dict.fromkeys(named)
    ]
    if rows:
        connection.execute(insert(deliveries), rows)
    for ids in _split_chunks(list(channels)):
        connection.execute(update(notices).where(notices.c.id.in_(ids)).values(routed_at=now))


def waiting(connection: Connection, channel: str, after: int, most: int) -> list[Waiting]:
    """Return a channel's deliveries without a message, oldest first.

    ``after`` is the last delivery of the previous page, 0 for the first page.
    """
    rows = connection.execute(
        select(deliveries.c.id, notices.c.document, notices.c.enqueued_at)
        .join(notices, notices.c.id == deliveries.c.notice_id)
        .where(
            deliveries.c.channel == channel,
            deliveries.c.message_id.is_(None),
            deliveries.c.id > after,
        )
        .order_by(deliveries.c.id)
        .limit(most)
    )
    return [
        Waiting(delivery=row.id, notice=notice_from(row.document), since=row.enqueued_at)
        for row in rows
    ]


def compose(
    connection: Connection, channel: str, message: Message, told: Sequence[int], now: int
) -> None:
    """Persist a message, due at once, for these deliveries."""
    made = connection.execute(
        insert(messages).values(
            key=message.key,
            channel=channel,
            document=canonical(message),
            state=MessageState.WAITING,
            attempts=0,
            due_at=now,
            last_error="",
            created_at=now,
        )
    )
    owner = made.inserted_primary_key[0] if made.inserted_primary_key else None
    for ids in _split_chunks(list(told)):
        connection.execute(
            update(deliveries).where(deliveries.c.id.in_(ids)).values(message_id=owner)
        )


def next_message(connection: Connection, channel: str) -> Outgoing | None:
    """Return the channel's oldest waiting message. Later ones wait for it."""
    row = connection.execute(
        select(messages)
        .where(messages.c.channel == channel, messages.c.state == MessageState.WAITING)
        .order_by(messages.c.id)
        .limit(1)
    ).first()
    return None if row is None else _build_outgoing(row)


def sent(connection: Connection, message: int, now: int) -> None:
    """Persist that the channel accepted a message, also in the record."""
    _close_message(connection, message, MessageState.SENT, "", now)


def failed(connection: Connection, message: int, why: str, again_at: int) -> None:
    """Persist a failed attempt, and the time of the next one."""
    connection.execute(
        update(messages)
        .where(messages.c.id == message)
        .values(attempts=messages.c.attempts + 1, due_at=again_at, last_error=why)
    )


def given_up(connection: Connection, message: int, why: str, now: int) -> None:
    """Persist that a message is not retried, also in the record. It can be revived."""
    _close_message(connection, message, MessageState.DEAD, why, now)


def revive(connection: Connection, now: int) -> int:
    """Retry every message that was given up. Return their number."""
    changed = connection.execute(
        update(messages)
        .where(messages.c.state == MessageState.DEAD)
        .values(state=MessageState.WAITING, attempts=0, due_at=now, ended_at=None)
    )
    return int(changed.rowcount)


def sent_since(connection: Connection, channel: str, since: int, until: int | None = None) -> int:
    """Return the number of messages accepted by a channel since a time.

    Messages dated after ``until`` were sent before the clock was set back.
    """
    counted = select(func.count()).where(
        messages.c.channel == channel,
        messages.c.state == MessageState.SENT,
        messages.c.ended_at > since,
        *([] if until is None else [messages.c.ended_at <= until]),
    )
    return int(connection.execute(counted).scalar_one())


def backlog(connection: Connection) -> Backlog:
    """Return the number of undelivered messages, their oldest time, and the number given up."""
    unsent = messages.c.state == MessageState.WAITING
    queued, oldest = connection.execute(
        select(func.count(), func.min(messages.c.created_at)).where(unsent)
    ).one()
    untold, since = connection.execute(
        select(func.count(), func.min(notices.c.enqueued_at))
        .select_from(notices.outerjoin(deliveries, deliveries.c.notice_id == notices.c.id))
        .where(
            notices.c.routed_at.is_(None)
            | (deliveries.c.id.is_not(None) & deliveries.c.message_id.is_(None))
        )
    ).one()
    dead = connection.execute(
        select(func.count()).where(messages.c.state == MessageState.DEAD)
    ).scalar_one()
    known = [one for one in (oldest, since) if one is not None]
    return Backlog(waiting=queued + untold, oldest=min(known) if known else None, dead=dead)


def listed(connection: Connection, most: int) -> list[Outgoing]:
    """Return the newest messages in any state, newest first."""
    rows = connection.execute(select(messages).order_by(messages.c.id.desc()).limit(most))
    return [_build_outgoing(row) for row in rows]


def told_of(connection: Connection, account: str) -> list[tuple[Notice, str]]:
    """Return every notice about an account with the state of its deliveries, oldest first."""
    rows = connection.execute(
        select(notices.c.document, deliveries.c.channel, messages.c.state)
        .outerjoin(deliveries, deliveries.c.notice_id == notices.c.id)
        .outerjoin(messages, messages.c.id == deliveries.c.message_id)
        .where(notices.c.account == account)
        .order_by(notices.c.id, deliveries.c.id)
    )
    return [
        (
            notice_from(row.document),
            f"{row.channel}: {row.state or 'waiting'}" if row.channel else "",
        )
        for row in rows
    ]


def prune(connection: Connection, before: int) -> int:
    """Delete delivered or unaddressed notices before a time. Return their number."""
    untold = (
        select(deliveries.c.notice_id)
        .outerjoin(messages, messages.c.id == deliveries.c.message_id)
        .where(messages.c.state.is_(None) | (messages.c.state != MessageState.SENT))
    )
    gone = select(notices.c.id).where(notices.c.routed_at < before, notices.c.id.not_in(untold))
    connection.execute(delete(deliveries).where(deliveries.c.notice_id.in_(gone)))
    pruned = connection.execute(
        delete(notices).where(
            notices.c.routed_at < before, notices.c.id.not_in(select(deliveries.c.notice_id))
        )
    )
    connection.execute(
        delete(messages).where(
            messages.c.state == MessageState.SENT,
            messages.c.id.not_in(
                select(deliveries.c.message_id).where(deliveries.c.message_id.is_not(None))
            ),
        )
    )
    return int(pruned.rowcount)


def _close_message(
    connection: Connection, message: int, state: MessageState, why: str, now: int
) -> None:
    connection.execute(
        update(messages)
        .where(messages.c.id == message)
        .values(state=state, attempts=messages.c.attempts + 1, last_error=why, ended_at=now)
    )
    append(connection, [delivery_entry(connection, message, state, why, now)])


def _build_notice_row(notice: Notice, now: int) -> dict[str, object]:
    return {
        "key": notice.key,
        "kind": notice.kind,
        "tier": notice.tier,
        "market": notice.market,
        "account": notice.account,
        "episode": notice.episode,
        "block_number": notice.block_number,
        "document": notice_document(notice),
        "enqueued_at": now,
    }


def _build_outgoing(row: Row[Any]) -> Outgoing:
    return Outgoing(
        id=row.id,
        channel=row.channel,
        message=Message.from_document(row.document),
        state=MessageState(row.state),
        attempts=row.attempts,
        last_error=row.last_error,
        created_at=row.created_at,
        due_at=row.due_at,
    )


def _split_chunks(every: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(every), CHUNK):
        yield every[at : at + CHUNK]
