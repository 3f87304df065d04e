"""SQLite database of the journal, opened safely, migrated, and written from one thread."""

import asyncio
import contextlib
import functools
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from keeper.domain.errors import JournalError
from keeper.storage.holding import HeldFile
from keeper.storage.lock import SigningLock
from keeper.storage.migrations import is_newest
from keeper.storage.recognition import APPLICATION, refuse_foreign_file

P = ParamSpec("P")
T = TypeVar("T")

_BUSY_SECONDS: Final = 5


class Database:
    """One SQLite file with all statements in a thread of its own.

    ``failures`` counts failed commits. ``failing`` is true after a failed last commit.
    """

    def __init__(
        self, engine: Engine, file: HeldFile, refuse: Callable[[], None] | None = None
    ) -> None:
        """Take the opened file. ``refuse`` raises JournalError once the lock is lost."""
        self.failures = 0
        self.failing = False
        self.engine = engine
        self._file = file
        self._refuse = refuse
        self._version = self._read_data_version()
        file.remember()
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
        """Run ``work`` as ``write`` does, in the caller's thread."""
        try:
            self._refuse_lost()
            with self.engine.begin() as connection:
                result = work(connection, *args, **kwargs)
            self._file.keep_changes()
        except SQLAlchemyError as error:
            self._record_failure()
            self._remember_failed()
            raise _translate_error(error) from error
        except JournalError:
            self._record_failure()
            raise
        self.failing = False
        return result

    def _remember_failed(self) -> None:
        """Accept the files' state also after a failed transaction, since it may have written."""
        with contextlib.suppress(JournalError):
            self._file.keep_changes()

    def _refuse_lost(self) -> None:
        """Raise JournalError where the file or its lock no longer belongs to this process."""
        if self._refuse is not None:
            self._refuse()
        self._file.refuse_changed(self._has_other_writer)

    def _has_other_writer(self) -> bool:
        """Whether another program has committed through SQLite since the last call."""
        before, self._version = self._version, self._read_data_version()
        return self._version != before

    def _read_data_version(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())

    def _record_failure(self) -> None:
        self.failures += 1
        self.failing = True

    def close(self) -> None:
        """Finish pending work and close the file."""
        self._thread.shutdown(wait=True)
        self.engine.dispose()
        self._file.close()


def opened(path: Path, lock: SigningLock | None = None) -> Database:
    """Open, or create with mode 0600, and migrate the journal for writing.

    Raises:
        JournalError: the file is damaged, foreign, accessible to others, of a newer version or not
            writable. With a ``lock``: another process holds it.
    """
    refuse_foreign_file(path)
    file = HeldFile(path)
    try:
        if lock is not None:
            file.claim()
        return Database(_open_migrated(path), file, lock.refuse_lost if lock is not None else None)
    except SQLAlchemyError as error:
        file.close()
        raise _translate_error(error) from error
    except JournalError:
        file.close()
        raise


def _open_migrated(path: Path) -> Engine:
    """Return an engine on the file, migrated to this version's tables."""
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=StaticPool,
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _start_transaction)
    try:
        with engine.begin() as connection:
            _check_integrity(connection, path)
            if not is_newest(connection):
                _run_upgrade(connection)
    except SQLAlchemyError as error:
        engine.dispose()
        raise _translate_error(error) from error
    except JournalError:
        engine.dispose()
        raise
    return engine


def reader(path: Path) -> Engine:
    """Return a read-only engine, for commands beside a running node.

    Raises:
        JournalError: there is no journal, or the file is foreign.
    """
    if not path.is_file() or path.stat().st_size == 0:
        raise JournalError(
            f"there is no journal at {path}", hint="`keeper run` makes it; see journal.path"
        )
    refuse_foreign_file(path)
    quoted = str(path.resolve()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return create_engine(
        f"sqlite:///file:{quoted}?mode=ro&uri=true",
        poolclass=NullPool,
        connect_args={"timeout": _BUSY_SECONDS},
        hide_parameters=True,
    )


def read(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run a query on a reader. Raises JournalError where the file is no journal."""
    try:
        with engine.connect() as connection:
            return work(connection)
    except SQLAlchemyError as error:
        raise _translate_error(error) from error


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver would begin no transaction for a table
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        # Written before the write-ahead log, so that a killed process leaves the file marked.
        connection.execute(f"PRAGMA application_id={APPLICATION}")
    connection.execute("PRAGMA locking_mode=NORMAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _start_transaction(connection: Connection) -> None:
    """Begin a transaction immediately, so that a migration is atomic."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _check_integrity(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    if found != "ok":
        raise JournalError(
            f"the journal {path} is damaged: {found}",
            hint="never restore an outdated copy; see docs/adr/0005-journal.md",
        )


def _run_upgrade(connection: Connection) -> None:
    # Importing Alembic takes a fifth of a start, and few starts need it.
    from keeper.storage.upgrading import upgrade  # noqa: PLC0415

    upgrade(connection)


def _translate_error(error: SQLAlchemyError) -> JournalError:
    """Return a JournalError with the database's message, without statement and parameters."""
    cause = getattr(error, "orig", None)
    return JournalError(
        f"the journal failed: {cause or type(error).__name__}",
        hint="nothing was signed; check the disk and the file",
    )
