"""Brings the tables of an older journal, or of a new one, to this version: by Alembic."""

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from keeper.domain.errors import JournalError
from keeper.storage.migrations import FOLDER


def upgrade(connection: Connection) -> None:
    """
    Run the migrations that are missing, in the connection's transaction.

    Raises:
        JournalError: a later version wrote the journal.
    """
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise JournalError(
            "the journal was written by a newer version of this program",
            hint="run that version, or a newer one",
        ) from error
