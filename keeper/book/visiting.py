"""The stored book for a command, readable beside a running keeper, writable only without one.

Readers of SQLite's write-ahead log see one state and block no writer, so reading needs no lock.
Writing takes the keeper's lock briefly, and requires the state that was read. After another
process's write nothing is written.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from keeper.book.file import BookFile, NotUsable, State, is_blank, objection, state_of
from keeper.book.kept import Change, Damaged, Kept, Scanned
from keeper.book.locks import InUse
from keeper.book.recognition import refuse_other_program
from keeper.book.rows import read_kept

OF_OTHERS: Final = "a keeper, or another command, writes to it"
NOTHING: Final[State] = ((None, None, None),)
"""The state of an empty file."""
_MAKES_FILES: Final = frozenset({"SQLITE_CANTOPEN", "SQLITE_READONLY"})
"""SQLite's errors when it may not create the files that it needs beside a database."""


class VisitedFile:
    """A book's file for one command.

    ``unused`` is the reason why its content is not continued, ``spared`` the reason why it is not
    written. Each is empty otherwise. ``is_busy`` is true where only other writers are the reason.
    """

    def __init__(self, path: Path, chain_id: int) -> None:
        """Prepare the access without opening the file."""
        self.path = path
        self.said = ""
        self.unused = ""
        self.spared = ""
        self._chain_id = chain_id
        self._state = NOTHING
        self._kept: Kept | None = None

    @property
    def is_busy(self) -> bool:
        """Whether other writers are the only reason to leave the file unchanged."""
        return self.spared == OF_OTHERS

    def kept(self) -> Kept:
        """Load the stored book as first read, empty for an unused file."""
        if self._kept is None:
            self._kept = self._look()
        return self._kept

    def _look(self) -> Kept:
        if not _has_content(self.path):
            return Kept()
        try:
            with reading(self.path) as connection:
                return self._read(connection)
        except NotUsable as error:
            self._refuse(str(error))
        except sqlite3.OperationalError as error:
            self._refuse(f"it cannot be read: {error}")
        except OSError as error:
            self._refuse(f"it cannot be read: {error.strerror}")
        except (Damaged, sqlite3.DatabaseError) as error:
            self._set_aside(f"it is damaged ({error})")
        return Kept()

    def _read(self, connection: sqlite3.Connection) -> Kept:
        """Read the book at one state, whatever others write meanwhile."""
        connection.execute("BEGIN")
        if is_blank(connection):
            return Kept()
        refusal = objection(connection, self.path.name, self._chain_id)
        if refusal:
            self._refuse(refusal)
            return Kept()
        kept = read_kept(connection)
        self._state = state_of(connection)
        return kept

    def _refuse(self, reason: str) -> None:
        self.unused = reason
        self.spare(reason)

    def _set_aside(self, reason: str) -> None:
        """Rename a damaged file, unless a keeper has it."""
        try:
            with self._open_visited() as file:
                self.unused = file.said or file.set_aside(reason)
                self._state = file.state()
        except (NotUsable, sqlite3.Error, OSError):
            self._refuse(reason)

    def spare(self, reason: str) -> None:
        """Write nothing from now on."""
        self.spared = self.spared or reason

    def write(self, change: Change) -> None:
        """Write one state, if the file is unchanged since it was read."""
        self._write(lambda file: file.write(change))

    def write_scan(self, found: Scanned) -> None:
        """Write the result of a scan, if the file is unchanged since it was read."""
        self._write(lambda file: file.write_scan(found))

    def write_facts(self, facts: Mapping[str, str]) -> None:
        """Write facts of the chain, by name, if the file is unchanged since it was read."""
        self._write(lambda file: file.write_facts(facts))

    def _write(self, work: Callable[[BookFile], None]) -> None:
        if self.spared:
            return
        try:
            with self._open_visited() as file:
                if self._state != file.state():
                    self.spare(OF_OTHERS)
                    return
                work(file)
                self._state = file.state()
        except InUse:
            self.spare(OF_OTHERS)
        except (NotUsable, sqlite3.Error) as error:
            self.spare(str(error))
        except OSError as error:
            self.spare(str(error.strerror))

    @contextlib.contextmanager
    def _open_visited(self) -> Iterator[BookFile]:
        """Yield the file, open and locked briefly."""
        if not may_write_beside(self.path):
            raise NotUsable("its folder belongs to another user")
        file = BookFile(self.path, self._chain_id, visit=True)
        try:
            yield file
        finally:
            file.close()

    def close(self) -> None:
        """Do nothing, since the file is open only while it is read or written."""


def may_write_beside(path: Path) -> bool:
    """Whether files may be created in the folder.

    A keeper that runs as the folder's owner could not open another user's files.
    """
    return os.geteuid() in (0, path.parent.stat().st_uid)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a read-only connection to a file.

    A copy is read where SQLite would need to create files beside it and may not.

    Raises:
        NotUsable: it is foreign, and nothing is created beside it.
    """
    refuse_other_program(path)
    try:
        connection = _read_only(path)
    except sqlite3.OperationalError as error:
        if not any(error.sqlite_errorname.startswith(name) for name in _MAKES_FILES):
            raise
        with tempfile.TemporaryDirectory(prefix="keeper-") as folder:
            copy = Path(folder) / path.name
            for ending in ("", "-wal"):
                source = path.with_name(path.name + ending)
                if ending == "" or source.exists():
                    shutil.copyfile(source, copy.with_name(copy.name + ending))
            with contextlib.closing(sqlite3.connect(copy, check_same_thread=False)) as copied:
                yield copied
        return
    with contextlib.closing(connection):
        yield connection


def _read_only(path: Path) -> sqlite3.Connection:
    place = f"{path.absolute().as_uri()}?mode=ro"
    connection = sqlite3.connect(place, uri=True, timeout=5.0, check_same_thread=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
