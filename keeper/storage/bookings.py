"""Profit ledger with one row for each profit log of a receipt."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from keeper.domain.submission import NO_LOG, Inclusion
from keeper.storage.schema import bookings

BOOKED: Final = "booked"
ORPHANED: Final = "orphaned"
"""The log's block was reorganised. The same log in another block is booked instead."""


def book(connection: Connection, owner: int, inclusion: Inclusion, at: str) -> None:
    """Book the profits of a receipt's logs. A log booked again is replaced.

    A log is identified by its transaction's hash and its index.
    """
    for one in inclusion.plans:
        if one.failure or one.log_index == NO_LOG:
            continue
        connection.execute(
            delete(bookings).where(
                bookings.c.hash == inclusion.hash, bookings.c.log_index == one.log_index
            )
        )
        connection.execute(
            insert(bookings).values(
                transaction_id=owner,
                hash=inclusion.hash,
                log_index=one.log_index,
                block_number=inclusion.block_number,
                block_hash=inclusion.block_hash,
                state=BOOKED,
                market=one.market,
                account=one.account,
                token=one.token,
                profit=one.profit,
                profit_wei=one.profit_wei,
                booked_at=at,
            )
        )


def orphan(connection: Connection, owner: int) -> None:
    """Mark a nonce's bookings as orphaned, since their block is no longer canonical."""
    connection.execute(
        update(bookings).where(bookings.c.transaction_id == owner).values(state=ORPHANED)
    )


def of(connection: Connection, owner: int) -> Sequence[Row[Any]]:
    """Return a nonce's bookings, in the order of their logs."""
    return connection.execute(
        select(bookings)
        .where(bookings.c.transaction_id == owner)
        .order_by(bookings.c.block_number, bookings.c.log_index)
    ).all()
