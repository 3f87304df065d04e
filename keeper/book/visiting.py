"""
The kept book as a command has it: read beside a running keeper, written only where none runs.

Readers of SQLite's write-ahead log see one state and stop no writer, so that nothing is locked
for reading. Writing takes the keeper's lock for a moment and goes on from the state that was
read: where somebody else has written since, nothing is written any more.
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
"""The state of a file in which nothing is kept yet."""
_MAKES_FILES: Final = frozenset({"SQLITE_CANTOPEN", "SQLITE_READONLY"})
"""How SQLite says that it may not make the files that it needs beside a database."""


class VisitedFile:
    """
    A book's file for one command.

    ``unused`` is why what is in it cannot be gone on from, ``spared`` why nothing is written to
    it; each is empty where it is used. ``is_busy`` is whether it is spared for others only.
    """

    def __init__(self, path: Path, chain_id: int) -> None:
        """Open nothing yet."""
        self.path = path
        self.said = ""
        self.unused = ""
        self.spared = ""
        self._chain_id = chain_id
        self._state = NOTHING
        self._kept: Kept | None = None

    @property
    def is_busy(self) -> bool:
        """Whether others write to it, and for no other reason it is left to them."""
        return self.spared == OF_OTHERS

    def kept(self) -> Kept:
        """Return everything that was in the file when it was read; nothing if it is not used."""
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
        """Read all of it at one state, whoever writes meanwhile."""
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
        """Move a damaged file out of the way, unless a keeper has it."""
        try:
            with self._visited() as file:
                self.unused = file.said or file.set_aside(reason)
                self._state = file.state()
        except (NotUsable, sqlite3.Error, OSError):
            self._refuse(reason)

    def spare(self, reason: str) -> None:
        """Write nothing from now on."""
        self.spared = self.spared or reason

    def write(self, change: Change) -> None:
        """Write one state, if the file is as it was read."""
        self._write(lambda file: file.write(change))

    def write_scan(self, found: Scanned) -> None:
        """Add what a scan found, if the file is as it was read."""
        self._write(lambda file: file.write_scan(found))

    def write_facts(self, facts: Mapping[str, str]) -> None:
        """Write facts of the chain by their names, if the file is as it was read."""
        self._write(lambda file: file.write_facts(facts))

    def _write(self, work: Callable[[BookFile], None]) -> None:
        if self.spared:
            return
        try:
            with self._visited() as file:
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
    def _visited(self) -> Iterator[BookFile]:
        """Yield the file, open and locked for a moment."""
        if not may_write_beside(self.path):
            raise NotUsable("its folder belongs to another user")
        file = BookFile(self.path, self._chain_id, visit=True)
        try:
            yield file
        finally:
            file.close()

    def close(self) -> None:
        """Do nothing: it is open only while it is read or written."""


def may_write_beside(path: Path) -> bool:
    """
    Whether files may be made in the folder.

    A keeper that runs as the folder's owner could not open those of another user.
    """
    return os.geteuid() in (0, path.parent.stat().st_uid)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """
    Yield a connection that reads a file and cannot write to it.

    Where SQLite needs to make files beside it and may not, a copy is read.

    Raises:
        NotUsable: it is another program's, beside which nothing is made.
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
