"""
The file that a book is kept in: SQLite, one transaction for each state.

A process that is killed leaves the state before or after a transaction (write-ahead log), and
each record has a checksum. What cannot be used is set aside, never written over; what belongs to
another program is left alone.
"""

import fcntl
import os
import sqlite3
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from keeper.book.kept import (
    Change,
    Damaged,
    Kept,
    MarketChange,
    Scanned,
    packed,
    packed_logs,
    unpacked,
    unpacked_logs,
)
from keeper.book.trail import Footprint
from keeper.domain.errors import EnvironmentFault
from keeper.domain.units import BlockHash, MarketKey

APPLICATION: Final = 0x6B626F6B
"""SQLite's application id of a keeper's book: "kbok"."""
SCHEMA: Final = 1
PART_BYTES: Final = 64 * 1024 * 1024
"""The most of a base that goes into one row."""

_TABLES: Final = """
CREATE TABLE about (chain_id INTEGER NOT NULL);
CREATE TABLE block (hash TEXT PRIMARY KEY, number INTEGER NOT NULL, logs BLOB NOT NULL);
CREATE TABLE market (
  key TEXT PRIMARY KEY, form TEXT NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL,
  since INTEGER NOT NULL, scanned_to INTEGER NOT NULL
);
CREATE TABLE base (market TEXT NOT NULL, part INTEGER NOT NULL, arrays BLOB NOT NULL,
  PRIMARY KEY (market, part));
CREATE TABLE delta (id INTEGER PRIMARY KEY, market TEXT NOT NULL, arrays BLOB NOT NULL);
CREATE TABLE scan (id INTEGER PRIMARY KEY, market TEXT NOT NULL, form TEXT NOT NULL,
  arrays BLOB NOT NULL, first INTEGER NOT NULL, covered_to INTEGER NOT NULL,
  target INTEGER NOT NULL, target_hash TEXT NOT NULL);
"""


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
            return self._read()
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
            connection.executemany("DELETE FROM block WHERE hash = ?", [(h,) for h in change.gone])
            connection.executemany(
                "INSERT OR REPLACE INTO block VALUES (?, ?, ?)",
                [(one.hash, one.number, packed_logs(one.logs)) for one in change.blocks],
            )
            for one in change.markets:
                _write_market(connection, one)

    def write_scan(self, found: Scanned) -> None:
        """Add what a scan found; sqlite3.Error where it was not written."""
        row = (
            found.market,
            found.form,
            packed(found.arrays),
            found.first,
            found.covered_to,
            found.target,
            found.target_hash,
        )
        with self._open as connection:
            connection.execute(
                "INSERT INTO scan (market, form, arrays, first, covered_to, target, target_hash)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )

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
                f"BEGIN; {_TABLES}"
                f" PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA};"
            )
            connection.execute("INSERT INTO about VALUES (?)", (self._chain_id,))
            connection.commit()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _read(self) -> Kept:
        connection = self._open
        blocks = [
            Footprint(number=number, hash=BlockHash(block_hash), logs=unpacked_logs(logs))
            for block_hash, number, logs in connection.execute(
                "SELECT hash, number, logs FROM block ORDER BY number"
            )
        ]
        rows = connection.execute(
            "SELECT key, form, number, hash, since, scanned_to FROM market"
        ).fetchall()
        scans: dict[MarketKey, list[Scanned]] = {}
        for market, form, arrays, first, covered_to, target, target_hash in connection.execute(
            "SELECT market, form, arrays, first, covered_to, target, target_hash FROM scan"
            " ORDER BY id"
        ):
            scans.setdefault(MarketKey(market), []).append(
                Scanned(
                    market=MarketKey(market),
                    form=form,
                    arrays=unpacked(arrays),
                    first=first,
                    covered_to=covered_to,
                    target=target,
                    target_hash=BlockHash(target_hash),
                )
            )
        return Kept(
            blocks=tuple(blocks),
            markets={MarketKey(row[0]): _market(connection, row) for row in rows},
            scans=scans,
        )


def _market(
    connection: sqlite3.Connection, row: tuple[str, str, int, str, int, int]
) -> MarketChange:
    key, form, number, block_hash, since, scanned_to = row
    parts = _blobs(connection, "SELECT arrays FROM base WHERE market = ? ORDER BY part", key)
    deltas = _blobs(connection, "SELECT arrays FROM delta WHERE market = ? ORDER BY id", key)
    return MarketChange(
        market=MarketKey(key),
        form=form,
        number=number,
        hash=BlockHash(block_hash),
        since=since,
        scanned_to=scanned_to,
        base=unpacked(b"".join(parts)),
        deltas=tuple(unpacked(each) for each in deltas),
    )


def _blobs(connection: sqlite3.Connection, query: str, key: str) -> list[bytes]:
    return [bytes(blob) for (blob,) in connection.execute(query, (key,))]


def _write_market(connection: sqlite3.Connection, one: MarketChange) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO market VALUES (?, ?, ?, ?, ?, ?)",
        (one.market, one.form, one.number, one.hash, one.since, one.scanned_to),
    )
    if one.base is not None:
        for table in ("base", "delta", "scan"):
            connection.execute(f"DELETE FROM {table} WHERE market = ?", (one.market,))  # noqa: S608 - names of our own
        connection.executemany(
            "INSERT INTO base VALUES (?, ?, ?)",
            [(one.market, at, part) for at, part in enumerate(_parts(packed(one.base)))],
        )
    connection.executemany(
        "INSERT INTO delta (market, arrays) VALUES (?, ?)",
        [(one.market, packed(each)) for each in one.deltas],
    )


def _parts(whole: bytes) -> Iterable[bytes]:
    return (whole[at : at + PART_BYTES] for at in range(0, len(whole), PART_BYTES))


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
