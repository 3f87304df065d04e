"""Profit by log: one row for each log of a receipt that says what was earned."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from keeper.domain.submission import NO_LOG, Inclusion
from keeper.storage.schema import bookings

BOOKED: Final = "booked"
ORPHANED: Final = "orphaned"
"""A reorg has the log's block; the same log in another block is booked in its place."""


def book(connection: Connection, owner: int, inclusion: Inclusion, at: str) -> None:
    """
    Book what a receipt's logs say; the same log booked again is restated, not added.

    A log is known by its transaction's hash and its index.
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
    """Take back what was booked of a nonce: its block is no longer canonical."""
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
