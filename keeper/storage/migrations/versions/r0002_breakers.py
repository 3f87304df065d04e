"""Breakers, and block times of receipts."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the block's time to outcomes, and the table of breakers.

    Existing receipts get the time at which they were seen.
    """
    op.add_column("outcomes", sa.Column("block_time", sa.Integer))
    op.create_index("outcomes_by_time", "outcomes", ["block_time"])
    op.create_table(
        "breakers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("block_time", sa.Integer, nullable=False),
        sa.Column("opened_at", sa.Text, nullable=False),
        sa.Column("closed_at", sa.Text),
        sa.Column("closed_by", sa.Text),
        sa.Column("settled_through", sa.Integer),
    )
    op.create_index("breakers_by_name", "breakers", ["name"])
    _set_receipt_times()


def _set_receipt_times() -> None:
    connection = op.get_bind()
    rows = sa.table("outcomes", sa.column("id"), sa.column("created_at"), sa.column("block_time"))
    for row in connection.execute(sa.select(rows.c.id, rows.c.created_at)).all():
        seen = int(datetime.fromisoformat(row.created_at).timestamp())
        connection.execute(sa.update(rows).where(rows.c.id == row.id).values(block_time=seen))
