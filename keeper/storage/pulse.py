"""The newest block stored in a keeper's file of any version."""

from dataclasses import dataclass

from sqlalchemy import Connection, inspect, select

from keeper.domain.units import Timestamp
from keeper.margin.documents import rest_from
from keeper.storage.schema import entries, margin_state


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """A block, and the local time at which it was stored (Unix seconds).

    ``seen_at`` is None in files of earlier versions, and where only the record has the block.
    """

    number: int
    timestamp: Timestamp
    seen_at: int | None


def pulse(connection: Connection) -> Pulse | None:
    """Return the newest block of margin calls or of the record, None before the first."""
    margin, newest = _read_margin_block(connection), _read_record_block(connection)
    if margin is None or (newest is not None and newest.number > margin.number):
        return newest
    return margin


def _read_margin_block(connection: Connection) -> Pulse | None:
    if not inspect(connection).has_table(margin_state.name):
        return None
    row = connection.exec_driver_sql("SELECT * FROM margin_state").mappings().first()
    if row is None:
        return None
    state = rest_from(row["document"])  # an earlier version's row has no column of the time
    return Pulse(number=state.number, timestamp=state.timestamp, seen_at=row.get("seen_at"))


def _read_record_block(connection: Connection) -> Pulse | None:
    if not inspect(connection).has_table(entries.name):
        return None
    dated = select(entries.c.block_number, entries.c.block_time).where(entries.c.block_time > 0)
    newest = connection.execute(dated.order_by(entries.c.id.desc()).limit(1)).first()
    if newest is None:
        return None
    return Pulse(number=newest.block_number, timestamp=Timestamp(newest.block_time), seen_at=None)
