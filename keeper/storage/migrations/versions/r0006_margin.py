"""Margin calls, with states of accounts and prices, and episodes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of margin calls."""
    op.create_table(
        "margin_state",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("block_hash", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "standings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("market", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("advice", sa.Text),
        sa.UniqueConstraint("market", "account", name="one_standing_per_account"),
    )
    op.create_table(
        "episodes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("market", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("opened_block", sa.Integer, nullable=False),
        sa.Column("opened_time", sa.Integer, nullable=False),
        sa.Column("opened_at", sa.Integer, nullable=False),
        sa.Column("closed_block", sa.Integer),
        sa.Column("closed_time", sa.Integer),
        sa.Column("closed_at", sa.Integer),
        sa.Column("outcome", sa.Text),
        sa.UniqueConstraint("market", "account", "number", name="one_row_per_episode"),
    )
