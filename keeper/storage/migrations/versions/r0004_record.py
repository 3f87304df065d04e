"""The record, a chain of entries with the texts that they refer to."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from keeper.audit.canonical import canonical
from keeper.audit.chain import NewEntry
from keeper.domain.units import Timestamp
from keeper.storage.record import append

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the chain, starting with the existing decisions.

    These were not chained when they were written, so they are marked, and their unknown block time
    is 0. Their digests covered nothing that was stored, and are dropped.
    """
    op.create_table(
        "entries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("block_time", sa.Integer, nullable=False),
        sa.Column("market", sa.Text),
        sa.Column("account", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
    op.create_index("entries_of_block", "entries", ["block_number"])
    op.create_index(
        "entries_of_account",
        "entries",
        ["account"],
        sqlite_where=sa.text("account IS NOT NULL"),
        postgresql_where=sa.text("account IS NOT NULL"),
    )
    op.create_table(
        "texts",
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
    _copy_decisions()
    op.drop_table("decisions")
    op.drop_table("digests")


def _copy_decisions() -> None:
    columns = "block_number block_hash market account action reason detail net_profit health_factor"
    table = sa.table("decisions", *(sa.column(name) for name in ("id", *columns.split())))
    connection = op.get_bind()
    rows = connection.execute(sa.select(table).order_by(table.c.id)).mappings().all()
    append(
        connection, [_build_adopted_entry({str(name): row[name] for name in row}) for row in rows]
    )


def _build_adopted_entry(row: Mapping[str, Any]) -> NewEntry:
    told = {name: row[name] for name in ("block_hash", "action", "reason", "detail")}
    told |= {name: row[name] for name in ("net_profit", "health_factor")}
    return NewEntry(
        kind="decision",
        block_number=row["block_number"],
        block_time=Timestamp(0),
        market=row["market"],
        account=row["account"],
        body=canonical(told | {"adopted": True, "inputs": None}),
    )
