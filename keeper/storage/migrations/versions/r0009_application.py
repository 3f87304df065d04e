"""Whose file it is, in the file's header: no other program's database is taken for a journal."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

APPLICATION = 0x6B6A726E


def upgrade() -> None:
    """Mark the file; it was recognised by its tables."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"PRAGMA application_id = {APPLICATION}")
