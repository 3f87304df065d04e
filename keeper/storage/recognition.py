"""Recognition of the journal's file. Other programs' files are refused and left unchanged."""

import sqlite3
from pathlib import Path
from typing import Final

from keeper.domain.errors import JournalError
from keeper.sqlite_file import NotADatabase, Tables, read_header, read_tables

APPLICATION: Final = 0x6B6A726E
"""SQLite's application id of a keeper's journal: "kjrn"."""
_FIRST_TABLES: Final = {
    "alembic_version": frozenset({"version_num"}),
    "identity": frozenset({"id", "chain_id", "sender", "first_nonce"}),
    "transactions": frozenset({"lane", "nonce", "lease_epoch", "calldata"}),
    "attempts": frozenset({"hash", "raw"}),
}
"""Columns of every journal since the first one, which had no application id."""


def refuse_foreign_file(path: Path) -> None:
    """Refuse a file that is no journal, before SQLite creates files beside it.

    An empty file or database may become a journal.

    Raises:
        JournalError: it belongs to another program, is no database, or cannot be read.
    """
    try:
        header = read_header(path)
        if header is None or header.application == APPLICATION:
            return
        tables = {} if header.application else read_tables(path)
    except NotADatabase:
        raise _build_foreign_error(path, "no SQLite database") from None
    except (OSError, sqlite3.Error) as error:
        raise JournalError(
            f"the journal {path} cannot be read: {error}", hint="check the file and its folder"
        ) from None
    is_blank = not tables and not header.user_version
    # mutation: F24 foreign-database
    if header.application or not (is_blank or _is_early_journal(tables)):
        raise _build_foreign_error(path, "another program's database")


def _is_early_journal(tables: Tables) -> bool:
    """Whether the tables are those of a journal without an application id."""
    return all(columns <= tables.get(name, set()) for name, columns in _FIRST_TABLES.items())


def _build_foreign_error(path: Path, what: str) -> JournalError:
    return JournalError(
        f"{path} is {what}, not a journal: it was left as it is",
        hint="name another file: journal.path",
    )
