"""Deliveries of notices by channel, and their entries in the record."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, select

from keeper.audit.canonical import canonical
from keeper.audit.chain import Entry, NewEntry
from keeper.domain.notice import NoticeKind
from keeper.domain.parity import Subject
from keeper.domain.telling import MessageState
from keeper.domain.units import Address, MarketKey, Timestamp
from keeper.storage.notices import notice_from
from keeper.storage.record import entries_of, entry_of
from keeper.storage.schema import OF_DIGESTS, deliveries, entries, messages, notices

DELIVERY: Final = "delivery"
"""The kind of the record's entries about a message's delivery."""

_CHUNK: Final = 500
"""Maximum of values in one statement, below the limits of SQLite and PostgreSQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notice for one channel. ``at`` is Unix seconds, None while it waits."""

    channel: str
    state: MessageState
    at: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A due margin call with its deliveries.

    ``due_at`` is by this machine's clock. ``is_routed`` is true once its channels are known.
    """

    tier: str
    due_at: int
    is_routed: bool
    deliveries: tuple[Delivery, ...] = ()

    @property
    def taken(self) -> tuple[Delivery, ...]:
        """The deliveries that a channel accepted."""
        return tuple(one for one in self.deliveries if one.state is MessageState.SENT)


def calls_of(
    connection: Connection, subjects: Sequence[tuple[MarketKey, Address, int]]
) -> Mapping[Subject, Call]:
    """Return the newest call of each account's episode (market, account, number)."""
    wanted, accounts = set(subjects), sorted({account for _, account, _ in subjects})
    found = dict[Subject, dict[int, list[Any]]]()
    for row in _select_call_rows(connection, accounts):
        if (row.market, row.account, row.episode) in wanted:
            by_notice = found.setdefault((MarketKey(row.market), Address(row.account)), {})
            by_notice.setdefault(row.id, []).append(row)
    return {subject: _build_call(by_notice[max(by_notice)]) for subject, by_notice in found.items()}


def account_history(connection: Connection, account: Address) -> list[Entry]:
    """Return an account's entries in order, including deliveries of digests.

    A digest's body is reduced to the account's own notices.
    """
    found = entries_of(connection, account)
    mark = f"/{account}/"
    digests = select(entries).where(OF_DIGESTS, entries.c.body.contains(mark, autoescape=True))
    for row in connection.execute(digests.order_by(entries.c.id)):
        body = json.loads(row.body)
        body["notices"] = [one for one in body["notices"] if mark in one["key"]]
        found.append(replace(entry_of(row), body=canonical(body)))
    return sorted(found, key=lambda one: one.id)


def delivery_entry(
    connection: Connection, message: int, state: MessageState, reason: str, now: int
) -> NewEntry:
    """Build the entry of a message that was delivered or given up.

    ``waited`` is the age of each notice in seconds of this machine's clock, since the chain's may
    differ.
    """
    rows = connection.execute(
        select(
            notices.c.id,
            notices.c.key,
            notices.c.market,
            notices.c.account,
            notices.c.enqueued_at,
            notices.c.block_number,
        )
        .join(deliveries, deliveries.c.notice_id == notices.c.id)
        .where(deliveries.c.message_id == message)
        .order_by(notices.c.id)
    ).all()
    sent = connection.execute(select(messages).where(messages.c.id == message)).one()
    newest = max(rows, key=lambda row: (row.block_number, row.id), default=None)
    subjects = {(row.market, row.account) for row in rows}
    market, account = subjects.pop() if len(subjects) == 1 else (None, None)
    body = {
        "channel": sent.channel,
        "result": str(state),
        "reason": reason,
        "at": now,
        "message": sent.key,
        "notices": [{"key": row.key, "waited": max(0, now - row.enqueued_at)} for row in rows],
    }
    return NewEntry(
        kind=DELIVERY,
        block_number=0 if newest is None else newest.block_number,
        block_time=Timestamp(0) if newest is None else _find_time(connection, newest.id),
        market=None if market is None else MarketKey(market),
        account=None if account is None else Address(account),
        body=canonical(body),
    )


def _select_call_rows(
    connection: Connection, accounts: Sequence[str]
) -> Iterator[Any]:  # SQLAlchemy's rows
    """Yield the deliveries of all calls of these accounts, oldest first."""
    for first in range(0, len(accounts), _CHUNK):
        found = connection.execute(
            select(
                notices.c.id,
                notices.c.market,
                notices.c.account,
                notices.c.episode,
                notices.c.tier,
                notices.c.enqueued_at,
                notices.c.routed_at,
                deliveries.c.channel,
                messages.c.state,
                messages.c.ended_at,
                messages.c.last_error,
            )
            .outerjoin(deliveries, deliveries.c.notice_id == notices.c.id)
            .outerjoin(messages, messages.c.id == deliveries.c.message_id)
            .where(
                notices.c.kind == NoticeKind.CALLED,
                notices.c.account.in_(accounts[first : first + _CHUNK]),
            )
            .order_by(notices.c.id, deliveries.c.id)
        ).all()
        yield from found


def _build_call(rows: Sequence[Any]) -> Call:
    first = rows[0]
    return Call(
        tier=first.tier,
        due_at=first.enqueued_at,
        is_routed=first.routed_at is not None,
        deliveries=tuple(
            Delivery(
                channel=row.channel,
                state=MessageState(row.state or MessageState.WAITING),
                at=row.ended_at,
                reason=row.last_error or "",
            )
            for row in rows
            if row.channel is not None
        ),
    )


def _find_time(connection: Connection, notice: int) -> Timestamp:
    document = connection.execute(
        select(notices.c.document).where(notices.c.id == notice)
    ).scalar_one()
    return notice_from(document).timestamp
