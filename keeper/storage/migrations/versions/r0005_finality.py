"""Finality, with the chain's anchor, the data fee of rollups, and profit by log."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the profit ledger. Earlier receipts have no bookings."""
    op.add_column("identity", sa.Column("anchor_number", sa.Integer))
    op.add_column("identity", sa.Column("anchor_hash", sa.Text))
    op.add_column("outcomes", sa.Column("data_fee", sa.Text()))
    op.create_table(
        "bookings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("transaction_id", sa.Integer, sa.ForeignKey("transactions.id"), nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("log_index", sa.Integer, nullable=False),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("block_hash", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("market", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("profit", sa.Text(), nullable=False),
        sa.Column("profit_wei", sa.Text(), nullable=False),
        sa.Column("booked_at", sa.Text, nullable=False),
        sa.UniqueConstraint("hash", "log_index", name="one_booking_per_log"),
    )
    op.create_index("bookings_of_transaction", "bookings", ["transaction_id"])
