"""Local time of the newest block, and an index of deliveries of digests."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add column and index. Earlier rows have no such time and no deliveries."""
    op.add_column("margin_state", sa.Column("seen_at", sa.Integer))
    of_many = sa.text("kind = 'delivery' AND account IS NULL")
    op.create_index(
        "entries_of_digests", "entries", ["id"], sqlite_where=of_many, postgresql_where=of_many
    )
