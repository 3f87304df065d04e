"""Facts of a block about acted-on accounts, stored with the nonces."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "acted",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("block_hash", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
