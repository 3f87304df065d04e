"""Recognition of a book's file and of its access rights, before SQLite opens it."""

import os
import sqlite3
import stat
from pathlib import Path
from typing import Final

from keeper.book.locks import NotUsable
from keeper.exposure import trusted_users
from keeper.sqlite_file import NotADatabase, read_header, read_tables

APPLICATION: Final = 0x6B626F6B
"""SQLite's application id of a keeper's book: "kbok"."""
_TABLES: Final = {"about": {"chain_id"}, "block": {"hash", "number", "logs"}}
"""Tables of a book with its header still in the log."""
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022


def refuse_other_program(path: Path) -> None:
    """Refuse another program's database, leaving it and its folder unchanged.

    A damaged file or one that is no database passes. It is renamed later.

    Raises:
        NotUsable: it is foreign.
    """
    try:
        header = read_header(path)
        if header is None or header.application == APPLICATION:
            return
        tables = {} if header.application else read_tables(path)
    except (NotADatabase, OSError, sqlite3.DatabaseError):
        return
    is_book = all(columns <= tables.get(name, set()) for name, columns in _TABLES.items())
    is_blank = not (header.application or header.user_version or tables)
    if not (is_blank or is_book):
        raise NotUsable(f"{path.name} is a database of another program: left alone")


def refuse_strange(path: Path) -> str:
    """Return the reason why others may have written to a file, empty if only this user could.

    A file that others can only read is made private.

    Raises:
        NotUsable: it, its lock or its log belongs to another user, or is that user's link.
    """
    for end in ("", "-wal", "-shm", "-journal"):
        _refuse_foreign(path.with_name(path.name + end), may_be_link=not end)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _OTHERS and not mode & _OTHERS_WRITE:
            path.chmod(mode & ~_OTHERS)
    except OSError:
        return ""
    return f"other users could change it (mode {mode:04o})" if mode & _OTHERS_WRITE else ""


def _refuse_foreign(path: Path, *, may_be_link: bool) -> None:
    try:
        status = path.lstat()
        users = trusted_users(path, status.st_uid)
        if stat.S_ISLNK(status.st_mode) and may_be_link and status.st_uid in users:
            status = path.stat()
    except OSError:
        return
    if os.name == "posix" and (status.st_uid not in users or not stat.S_ISREG(status.st_mode)):
        raise NotUsable(f"{path.name} is a link, or belongs to user {status.st_uid}: left alone")
