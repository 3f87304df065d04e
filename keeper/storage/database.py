"""The journal's file: opened safely, migrated, and written from one thread."""

import asyncio
import functools
import os
import sqlite3
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from keeper.domain.errors import JournalError
from keeper.storage.migrations import is_newest

P = ParamSpec("P")
T = TypeVar("T")

_BUSY_SECONDS: Final = 5


class Database:
    """
    One SQLite file; every statement runs in one thread of its own.

    ``failures`` counts what could not be committed; ``failing`` says it of the last commit.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        self.failures = 0
        self.failing = False
        self._engine = engine
        self._path = path
        self._file = _identity(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    async def write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """
        Run ``work`` in one transaction and return when it is committed to the disk.

        A cancelled caller does not stop the commit.

        Raises:
            JournalError: it was not committed.
        """
        loop = asyncio.get_running_loop()
        bound = functools.partial(self.write_now, work, *args, **kwargs)
        future = loop.run_in_executor(self._thread, bound)
        return await asyncio.shield(future)

    def write_now(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do what ``write`` does, in the caller's thread."""
        if _identity(self._path) != self._file:
            self._failed()
            raise _replaced(self._path)
        try:
            with self._engine.begin() as connection:
                result = work(connection, *args, **kwargs)
        except SQLAlchemyError as error:
            self._failed()
            raise _translated(error) from error
        self.failing = False
        return result

    def _failed(self) -> None:
        self.failures += 1
        self.failing = True

    def close(self) -> None:
        """Finish what was begun and close the file."""
        self._thread.shutdown(wait=True)
        self._engine.dispose()


def opened(path: Path) -> Database:
    """
    Open, or create with mode 0600, and migrate the journal for writing.

    Raises:
        JournalError: the file is damaged, readable by others, newer than this
            program, or cannot be written.
    """
    _prepared(path)
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _for_writing)
    event.listen(engine, "begin", _begun)
    try:
        with engine.begin() as connection:
            _checked(connection, path)
            if not is_newest(connection):
                _upgraded(connection)
    except SQLAlchemyError as error:
        engine.dispose()
        raise _translated(error) from error
    except JournalError:
        engine.dispose()
        raise
    return Database(engine, path)


def reader(path: Path) -> Engine:
    """
    Return an engine that cannot write, for commands beside a running node.

    Raises:
        JournalError: there is no journal.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise JournalError(
            f"there is no journal at {path}", hint="`keeper run` makes it; see journal.path"
        )
    quoted = str(path.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return create_engine(
        f"sqlite:///file:{quoted}?mode=ro&uri=true",
        poolclass=NullPool,
        connect_args={"timeout": _BUSY_SECONDS},
        hide_parameters=True,
    )


def read(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run a query on a reader; JournalError where the file is not a journal."""
    try:
        with engine.connect() as connection:
            return work(connection)
    except SQLAlchemyError as error:
        raise _translated(error) from error


def _prepared(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        os.close(descriptor)
    except OSError as error:
        raise JournalError(
            f"cannot open the journal {path}: {error.strerror}",
            hint="check the folder, its permissions and the free space",
        ) from None
    if mode & 0o077:
        raise JournalError(
            f"the journal {path} has mode {mode:04o}; others must not read or write it",
            hint=f"chmod 600 {path}",
        )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return which file is there; a commit into one that was deleted would be nowhere."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _replaced(path: Path) -> JournalError:
    return JournalError(
        f"the journal's file {path} is gone, or another one is in its place",
        hint="stop the keeper, put the file back if you can, and start again",
    )


def _for_writing(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin no transaction for a table
    connection.execute("PRAGMA locking_mode=NORMAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _begun(connection: Connection) -> None:
    """Begin a transaction for whatever comes: a migration is there as a whole, or not at all."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _checked(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    if found != "ok":
        raise JournalError(
            f"the journal {path} is damaged: {found}",
            hint="restore nothing older than the chain; see docs/adr/0005-journal.md",
        )


def _upgraded(connection: Connection) -> None:
    # Importing Alembic takes a fifth of a start, and few starts need it.
    from keeper.storage.upgrading import upgrade  # noqa: PLC0415

    upgrade(connection)


def _translated(error: SQLAlchemyError) -> JournalError:
    """Return our error; the database's own words, without statement and parameters."""
    cause = getattr(error, "orig", None)
    return JournalError(
        f"the journal failed: {cause or type(error).__name__}",
        hint="nothing was signed; check the disk and the file",
    )
