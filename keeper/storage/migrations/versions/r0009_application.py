"""Application id in the file's header, by which the journal is recognised."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

APPLICATION = 0x6B6A726E


def upgrade() -> None:
    """Mark the file, which was recognised by its tables so far."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"PRAGMA application_id = {APPLICATION}")
