"""The book's SQLite file, with one transaction per state.

A killed process leaves the state before or after a transaction (write-ahead log), and each record
has a checksum. An unusable file is renamed, never overwritten. A foreign file is left unchanged.
"""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from keeper.book.kept import Change, Damaged, Kept, KeptOrigin, Scanned
from keeper.book.locks import NotUsable, lock_for_life, owned_as_the_folder, visit_and_lock
from keeper.book.recognition import APPLICATION, refuse_other_program, refuse_strange
from keeper.book.rows import (
    LATER_TABLES,
    TABLES,
    read_kept,
    write_change,
    write_facts,
    write_origin,
    write_scan,
)
from keeper.domain.units import MarketKey

__all__ = ["BookFile", "NotUsable", "State", "is_blank", "objection", "state_of"]

SCHEMA: Final = 1

State = tuple[object, ...]
"""A value that identifies a state of the file."""


class BookFile:
    """The open file, used by one thread of one process, which holds its lock file.

    ``said`` describes an earlier file that could not be used, empty without one. A ``visit`` is
    short, so that a starting keeper can wait for it.
    """

    def __init__(self, path: Path, chain_id: int, *, visit: bool = False) -> None:
        """Open the file, or create it.

        Raises:
            NotUsable: another process has it, it is foreign, or it cannot be written.
        """
        self.path = path
        self.said = ""
        self._chain_id = chain_id
        refuse_other_program(path)
        strange = refuse_strange(path)
        self._visit, self._lock = visit_and_lock(path) if visit else (-1, lock_for_life(path))
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = self._open_usable(strange) or self._set_aside()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise NotUsable(f"{path.name} cannot be opened: {error}") from None
        except NotUsable:
            self.close()
            raise

    def kept(self) -> Kept:
        """Load the file's content. A damaged file is renamed, and the result is empty."""
        try:
            return read_kept(self.connection)
        except (Damaged, sqlite3.DatabaseError) as error:
            self.said = f"it is damaged ({error})"
        try:
            self._connection = self._set_aside()
        except (sqlite3.Error, OSError) as error:
            raise NotUsable(f"{self.path.name} cannot be made anew: {error}") from None
        return Kept()

    def state(self) -> State:
        """Return a value that identifies the file's state."""
        return state_of(self.connection)

    def set_aside(self, reason: str) -> str:
        """Rename the file, create a new one, and return a description."""
        self.said = reason
        self._connection = self._set_aside()
        return self.said

    def spare(self, reason: str) -> None:
        """Do nothing, since a keeper overwrites what it cannot use."""

    def write(self, change: Change) -> None:
        """Write one state in one transaction. Raises sqlite3.Error if nothing was written."""
        with self.connection as connection:
            write_change(connection, change)

    def write_scan(self, found: Scanned) -> None:
        """Write the result of a scan. Raises sqlite3.Error if it was not written."""
        with self.connection as connection:
            write_scan(connection, found)

    def write_origin(self, market: MarketKey, origin: KeptOrigin) -> None:
        """Write the creation block of a market's contract."""
        with self.connection as connection:
            write_origin(connection, market, origin)

    def write_facts(self, facts: Mapping[str, str]) -> None:
        """Write facts of the chain by their names."""
        with self.connection as connection:
            write_facts(connection, facts)

    def close(self) -> None:
        """Close the file and release its lock."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for descriptor in (self._lock, self._visit):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._visit = -1

    @property
    def connection(self) -> sqlite3.Connection:
        """Connection to the open file. Raises ProgrammingError after it was closed."""
        if self._connection is None:
            raise sqlite3.ProgrammingError("the file is closed")
        return self._connection

    def _open_usable(self, strange: str) -> sqlite3.Connection | None:
        """Return the usable file, or None if it has to be renamed, with the reason."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return self._create_file()
        if strange:
            self.said = strange
            if self._visit >= 0:
                raise NotUsable(strange)
            return None
        connection = _connect(self.path)
        with ExitStack() as unless_used:
            unless_used.callback(connection.close)
            try:
                if is_blank(connection):
                    return self._create_file()
                self.said = objection(connection, self.path.name, self._chain_id)
                if self.said and self._visit >= 0:
                    raise NotUsable(self.said)
            except sqlite3.DatabaseError as error:
                self.said = f"it is damaged ({error})"
            if self.said:
                return None
            _set_pragmas(connection)
            connection.executescript(LATER_TABLES)
            unless_used.pop_all()
        return connection

    def _set_aside(self) -> sqlite3.Connection:
        """Rename the file and create a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        aside = self.path.with_name(self.path.name + ".old")
        for ending in ("-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        self.path.replace(aside)
        self.said = f"{self.said}: it is now {aside.name}"
        return self._create_file()

    def _create_file(self) -> sqlite3.Connection:
        made = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        owned_as_the_folder(made, self.path)
        os.fchmod(made, 0o600)
        os.close(made)
        connection = _connect(self.path)
        try:
            # Written before the write-ahead log, so that a killed process leaves the file marked.
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            _set_pragmas(connection)
            connection.executescript(
                f"BEGIN; {TABLES} {LATER_TABLES} PRAGMA user_version = {SCHEMA};"
            )
            connection.execute("INSERT INTO about VALUES (?)", (self._chain_id,))
            connection.commit()
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def is_blank(connection: sqlite3.Connection) -> bool:
    """Whether the file has no tables yet, after or during another process's start."""
    pragmas = ("application_id", "user_version")
    mark, version = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas)
    return (
        mark in (0, APPLICATION)
        and not version
        and not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    )


def objection(connection: sqlite3.Connection, name: str, chain_id: int) -> str:
    """Return the reason why this program cannot use a file, empty if it can.

    Raises:
        NotUsable: it is foreign.
    """
    ((application,),) = connection.execute("PRAGMA application_id")
    ((schema,),) = connection.execute("PRAGMA user_version")
    if application != APPLICATION:
        raise NotUsable(f"{name} is a database of another program: left alone")
    if schema != SCHEMA:
        return f"it has form {schema}, and this program reads {SCHEMA}"
    ((of_chain,),) = connection.execute("SELECT chain_id FROM about")
    return "" if of_chain == chain_id else f"it is of chain {of_chain}"


def state_of(connection: sqlite3.Connection) -> State:
    """Return a value that identifies the file's state."""
    markets = connection.execute("SELECT key, form, number, hash FROM market ORDER BY key")
    counts = connection.execute(
        "SELECT (SELECT max(id) FROM delta), (SELECT max(id) FROM scan),"
        " (SELECT max(number) FROM block)"
    )
    return (*markets.fetchall(), *counts.fetchall())


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=5.0, check_same_thread=False)


def _set_pragmas(connection: sqlite3.Connection) -> None:
    # The log outlives the process; only a power cut may cost the last blocks, and no more.
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
