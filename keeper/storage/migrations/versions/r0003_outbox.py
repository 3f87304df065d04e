"""Outbox of notices, messages and deliveries."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables of notices, messages and deliveries."""
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("market", sa.Text),
        sa.Column("account", sa.Text),
        sa.Column("episode", sa.Integer),
        sa.Column("block_number", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("enqueued_at", sa.Integer, nullable=False),
        sa.Column("routed_at", sa.Integer),
    )
    op.create_index("notices_to_route", "notices", ["routed_at"])
    op.create_index("notices_of_account", "notices", ["account", "block_number"])
    op.create_table(
        "messages",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.Column("ended_at", sa.Integer),
    )
    op.create_index("messages_by_state", "messages", ["state", "channel", "due_at"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("notice_id", sa.Integer, sa.ForeignKey("notices.id"), nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("message_id", sa.Integer, sa.ForeignKey("messages.id")),
        sa.UniqueConstraint("notice_id", "channel", name="one_telling_per_channel"),
    )
    op.create_index("deliveries_waiting", "deliveries", ["channel", "message_id"])
    op.create_index("deliveries_of_message", "deliveries", ["message_id"])
