"""
The file that a book is kept in: SQLite, one transaction for each state.

A process that is killed leaves the state before or after a transaction (write-ahead log), and
each record has a checksum. What cannot be used is set aside, never written over; what belongs to
another program is left alone.
"""

import fcntl
import os
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from keeper.book.kept import Change, Damaged, Kept, Scanned
from keeper.book.rows import TABLES, read_kept, write_change, write_scan
from keeper.domain.errors import EnvironmentFault

APPLICATION: Final = 0x6B626F6B
"""SQLite's application id of a keeper's book: "kbok"."""
SCHEMA: Final = 1


class NotUsable(EnvironmentFault):
    """The book's file cannot be used: the keeper goes on without it."""

    code = "book_file"


class BookFile:
    """
    The open file; for one thread at a time, and one process: a lock file says which.

    ``said`` is what became of an earlier file that could not be used; empty where there is none.
    """

    def __init__(self, path: Path, chain_id: int) -> None:
        """
        Open the file, or begin a new one.

        Raises:
            NotUsable: another process has it, it is another program's, or cannot be written.
        """
        self.path = path
        self.said = ""
        self._chain_id = chain_id
        self._lock = _locked(path.with_name(path.name + ".lock"))
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = self._usable() or self._set_aside()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise NotUsable(f"{path.name} cannot be opened: {error}") from None
        except NotUsable:
            self.close()
            raise

    def kept(self) -> Kept:
        """Return everything that is in the file; a damaged file is set aside and says nothing."""
        try:
            return read_kept(self._open)
        except (Damaged, sqlite3.DatabaseError) as error:
            self.said = f"it is damaged ({error})"
        try:
            self._connection = self._set_aside()
        except (sqlite3.Error, OSError) as error:
            raise NotUsable(f"{self.path.name} cannot be made anew: {error}") from None
        return Kept()

    def write(self, change: Change) -> None:
        """Write one state in one transaction; sqlite3.Error where nothing of it was written."""
        with self._open as connection:
            write_change(connection, change)

    def write_scan(self, found: Scanned) -> None:
        """Add what a scan found; sqlite3.Error where it was not written."""
        with self._open as connection:
            write_scan(connection, found)

    def close(self) -> None:
        """Close the file and let the next process have it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            raise sqlite3.ProgrammingError("the file is closed")
        return self._connection

    def _usable(self) -> sqlite3.Connection | None:
        """Return the file as it is, or None if it has to be set aside, with the reason."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return self._begun()
        connection = _connected(self.path)
        with ExitStack() as unless_used:
            unless_used.callback(connection.close)
            try:
                self.said = self._objection(connection)
            except sqlite3.DatabaseError as error:
                self.said = f"it is damaged ({error})"
            if self.said:
                return None
            _for_writing(connection)
            unless_used.pop_all()
        return connection

    def _objection(self, connection: sqlite3.Connection) -> str:
        """Return why a file cannot be used; NotUsable where it is another program's."""
        ((application,),) = connection.execute("PRAGMA application_id")
        ((schema,),) = connection.execute("PRAGMA user_version")
        if application != APPLICATION:
            raise NotUsable(f"{self.path.name} is a database of another program: left alone")
        if schema != SCHEMA:
            return f"it has form {schema}, and this program reads {SCHEMA}"
        ((chain_id,),) = connection.execute("SELECT chain_id FROM about")
        return "" if chain_id == self._chain_id else f"it is of chain {chain_id}"

    def _set_aside(self) -> sqlite3.Connection:
        """Move the file out of the way and begin a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        aside = self.path.with_name(self.path.name + ".old")
        for ending in ("-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        self.path.replace(aside)
        self.said = f"{self.said}: it is now {aside.name}"
        return self._begun()

    def _begun(self) -> sqlite3.Connection:
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = _connected(self.path)
        try:
            _for_writing(connection)
            connection.executescript(
                f"BEGIN; {TABLES}"
                f" PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA};"
            )
            connection.execute("INSERT INTO about VALUES (?)", (self._chain_id,))
            connection.commit()
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=5.0, check_same_thread=False)


def _for_writing(connection: sqlite3.Connection) -> None:
    # The log outlives the process; only a power cut may cost the last blocks, and no more.
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _locked(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NotUsable(f"{path.name} cannot be made: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise NotUsable("another keeper has the book's file") from None
    return descriptor
