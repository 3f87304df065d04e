"""Migrations of the journal's schema, run when a journal is opened for writing."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection

FOLDER: Final = Path(__file__).parent
VERSION_TABLE: Final = "alembic_version"


def newest() -> str:
    """Return the last revision, by the prefix of the files' names (``r0001_journal.py``)."""
    names = [path.stem for path in (FOLDER / "versions").glob("r[0-9]*_*.py")]
    return max(names).partition("_")[0].removeprefix("r")


def is_newest(connection: Connection) -> bool:
    """Whether the journal states the newest revision."""
    if not connection.dialect.has_table(connection, VERSION_TABLE):
        return False
    found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalars()  # noqa: S608
    return list(found) == [newest()]
