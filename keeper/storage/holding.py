"""Guard of the journal's open file against removal, replacement, truncation and foreign writes.

A commit into such a file would be lost, and SQLite itself does not notice. Before and after each
transaction the file behind the descriptor and the write-ahead log are compared with their earlier
size and modification time.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keeper.domain.errors import JournalError
from keeper.exposure import find_open_folder, trusted_users
from keeper.sqlite_file import HEADER_BYTES, NotADatabase, parse_header

_OTHERS: Final = 0o077
_LOG: Final = "-wal"
_BESIDE: Final = (_LOG, "-shm")


@dataclass(frozen=True, slots=True)
class _Fingerprint:
    """Identity, size and modification time of a file."""

    device: int
    inode: int
    size: int
    changed: int

    @property
    def identity(self) -> tuple[int, int]:
        """The file's device and inode."""
        return self.device, self.inode


class HeldFile:
    """The journal's open file. Its descriptor stays open until all others are closed."""

    def __init__(self, path: Path) -> None:
        """Open the file, or create it with mode 0600.

        Raises:
            JournalError: others may read, write or replace it, or it cannot be opened.
        """
        self.path = path
        self._real = path.resolve()
        self._descriptor = _open_file(path)
        self._seen: dict[str, _Fingerprint | None] = {}
        self._header: bytes | None = None
        self._spoilt = ""
        try:
            _refuse_exposed(path, self._descriptor)
        except JournalError:
            self.close()
            raise

    def claim(self) -> None:
        """Lock the file itself, so that one process signs with it under any name.

        Raises:
            JournalError: another process has locked it, under another name.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # mutation: F22 file-lock
        except OSError:
            raise JournalError(
                f"the journal {self.path} is in use by a process, under this or another name",
                hint="stop that process, or give this one a key and a journal of its own",
            ) from None

    def remember(self, files: Mapping[str, _Fingerprint | None] | None = None) -> None:
        """Remember the files' present state, after each transaction of this process."""
        self._seen = dict(files or self._read_fingerprints())
        if self._header is None:
            with contextlib.suppress(NotADatabase):
                self._header = self._read_header()

    def refuse_changed(self, has_other_writer: Callable[[], bool] = lambda: False) -> None:
        """Refuse files that changed since the last transaction.

        ``has_other_writer`` returns whether another program wrote through SQLite meanwhile, which
        explains a changed size or time.

        Raises:
            JournalError: they are gone, replaced, truncated or overwritten.
        """
        files = self._refuse_lost()
        if all(self._seen.get(end) in (None, files[end]) for end in ("", _LOG)):
            return
        if not has_other_writer():  # mutation: F24 journal-overwritten
            self._mark_spoilt("was written to by something else than SQLite")
        self.remember()

    def keep_changes(self) -> None:
        """Remember the state after this process's own write.

        Raises:
            JournalError: the files are damaged.
        """
        self.remember(self._refuse_lost())

    def _refuse_lost(self) -> Mapping[str, _Fingerprint | None]:
        """Return the files' state. Raises JournalError where one is gone, replaced or truncated."""
        files = self._read_fingerprints()
        self._refuse_replaced(files)
        self._refuse_cut(files)
        self._refuse_spoilt()
        return files

    def _read_fingerprints(self) -> Mapping[str, _Fingerprint | None]:
        return {"": _read_fingerprint(self.path)} | {
            end: _read_fingerprint(self._get_path(end)) for end in _BESIDE
        }

    def _refuse_replaced(self, files: Mapping[str, _Fingerprint | None]) -> None:
        status = os.fstat(self._descriptor)
        found = files[""]
        if found is None or found.identity != (status.st_dev, status.st_ino):
            raise _build_replaced_error(self.path)
        for end in _BESIDE:
            before, beside = self._seen.get(end), files[end]
            if before is not None and (beside is None or beside.identity != before.identity):
                raise _build_replaced_error(self._get_path(end))

    def _refuse_cut(self, files: Mapping[str, _Fingerprint | None]) -> None:
        """Refuse files that shrank, and a database with another header."""
        for end in ("", _LOG):
            before, now = self._seen.get(end), files[end]
            # mutation: F24 journal-cut
            if before is not None and now is not None and now.size < before.size:
                self._mark_spoilt("was cut short")
        try:
            is_other = self._header is not None and self._read_header() != self._header
        except NotADatabase:
            is_other = True
        if is_other:
            self._mark_spoilt("was written over")

    def _read_header(self) -> bytes:
        """Return the header's constant bytes. Raises NotADatabase without a header."""
        return parse_header(os.pread(self._descriptor, HEADER_BYTES, 0)).fixed

    def close(self) -> None:
        """Close the file after all others, since this releases the process's locks on it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _get_path(self, end: str) -> Path:
        return self._real.with_name(self._real.name + end)

    def _mark_spoilt(self, what: str) -> None:
        """Refuse the file from now on, even if it looks intact again."""
        self._spoilt = self._spoilt or what
        self._refuse_spoilt()

    def _refuse_spoilt(self) -> None:
        if self._spoilt:
            raise JournalError(
                f"the journal's file {self.path} {self._spoilt} while the keeper ran",
                hint="nothing is signed any more: stop the keeper, look at the file, start again",
            )


def _open_file(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        raise JournalError(
            f"cannot open the journal {path}: {error.strerror}",
            hint="check the folder, its permissions and the free space",
        ) from None


def _refuse_exposed(path: Path, descriptor: int) -> None:
    status = os.fstat(descriptor)
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        raise JournalError(f"the journal {path} is no file", hint="name another: journal.path")
    trusted = trusted_users(path, status.st_uid)
    if status.st_uid not in trusted:
        raise JournalError(
            f"the journal {path} belongs to user {status.st_uid}",
            hint=f"run as that user, or chown {os.geteuid()} {path}",
        )
    if mode & _OTHERS:
        raise JournalError(
            f"the journal {path} has mode {mode:04o}; others must not read or write it",
            hint=f"chmod 600 {path}",
        )
    real = path.resolve()
    for end in (*_BESIDE, "-journal"):
        _refuse_strange(real.with_name(real.name + end), trusted)
    open_folder = find_open_folder(path)
    if open_folder is not None:
        raise JournalError(f"the journal {path}: {open_folder.problem}", hint=open_folder.hint)


def _refuse_strange(beside: Path, trusted: frozenset[int]) -> None:
    """Refuse a file that SQLite would use, where another user or a link created it."""
    try:
        status = beside.lstat()
    except FileNotFoundError:
        return
    if status.st_uid not in trusted or not stat.S_ISREG(status.st_mode):
        raise JournalError(
            f"{beside} is a link, or belongs to user {status.st_uid}",
            hint="find out who created it, and remove it if the journal does not need it",
        )


def _read_fingerprint(path: Path) -> _Fingerprint | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _Fingerprint(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _build_replaced_error(path: Path) -> JournalError:
    return JournalError(
        f"the journal's file {path} is gone, or another one is in its place",
        hint="stop the keeper, put the file back if you can, and start again",
    )
