"""Reads the header and tables of an SQLite file without opening it in SQLite.

SQLite makes files beside a database in WAL mode even for reading. Another program's database must
stay unchanged, so its header is read first, and its tables only from the file's own pages.

Source: the SQLite documentation, "Database File Format" (the database header).
"""

import contextlib
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HEADER_BYTES: Final = 100
_MAGIC: Final = b"SQLite format 3\x00"
_USER_VERSION: Final = slice(60, 64)
_APPLICATION: Final = slice(68, 72)
_FIXED: Final = (slice(0, 18), _APPLICATION)
"""What never changes in one file's life: the magic, the size of pages, whose it is."""

Tables = Mapping[str, frozenset[str]]
"""Columns by table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Identification fields of a database.

    ``fixed`` are bytes that never change in one database.
    """

    application: int
    user_version: int
    fixed: bytes


class NotADatabase(ValueError):
    """The file is no SQLite database, or no file at all."""


def parse_header(first: bytes) -> Header:
    """Parse the header at the beginning of a file.

    Raises:
        NotADatabase: it does not begin as a database does.
    """
    if len(first) < HEADER_BYTES or not first.startswith(_MAGIC):
        raise NotADatabase
    return Header(
        application=int.from_bytes(first[_APPLICATION], "big"),
        user_version=int.from_bytes(first[_USER_VERSION], "big"),
        fixed=b"".join(first[part] for part in _FIXED),
    )


def read_header(path: Path) -> Header | None:
    """Return a file's header. None if the file is empty or missing.

    This process must not have the file open in SQLite, since closing it would release its locks.

    Raises:
        NotADatabase: it is something else.
        OSError: it cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise NotADatabase
        return parse_header(file.read(HEADER_BYTES)) if status.st_size else None


def read_tables(path: Path) -> Tables:
    """Return a database's tables without changing it or its folder.

    If its own pages have none, a copy with its write-ahead log is read.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """
    with contextlib.closing(_open_immutable(path)) as connection:
        tables = _query_tables(connection)
    log = path.with_name(path.name + "-wal")
    if tables or not log.exists():
        return tables
    with tempfile.TemporaryDirectory(prefix="keeper-") as folder:
        copy = Path(folder) / "copy"
        shutil.copyfile(path, copy)
        shutil.copyfile(log, copy.with_name("copy-wal"))
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            return _query_tables(connection)


def _open_immutable(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _query_tables(connection: sqlite3.Connection) -> Tables:
    rows = connection.execute(
        "SELECT t.name, c.name FROM sqlite_master t, pragma_table_info(t.name) c"
        " WHERE t.type = 'table'"
    )
    tables = dict[str, frozenset[str]]()
    for table, column in rows:
        tables[table] = tables.get(table, frozenset()) | {column}
    return tables
