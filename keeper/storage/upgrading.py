"""Upgrade of a journal's tables to this version by Alembic."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from keeper.domain.errors import JournalError
from keeper.storage.migrations import FOLDER


def upgrade(connection: Connection) -> None:
    """Run the missing migrations in the connection's transaction.

    Raises:
        JournalError: a later version wrote the journal.
    """
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise JournalError(  # mutation: F44 newer-journal
            "the journal was written by a newer version of this program",
            hint="run that version, or a newer one",
        ) from error
