"""Locks that ensure a single signing process per journal.

The file ``<journal>.lock`` is locked, and an abstract socket name of this folder and file is taken,
which cannot be removed. Each detects another process without the other. The journal's own file is
locked as well.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import socket
import stat
import struct
import sys
from pathlib import Path
from typing import Final

from keeper.domain.errors import JournalError
from keeper.exposure import trusted_users

log = logging.getLogger(__name__)

_PEER: Final = "3i"
"""Format of SO_PEERCRED's answer, with process, user and group."""
_CONNECT_SECONDS: Final = 1.0


class SigningLock:
    """A locked ``<journal>.lock``. The kernel releases it when the process dies.

    It is beside the real file behind any links, so that each file has one lock.
    """

    def __init__(self, journal: Path) -> None:
        real = journal.resolve()
        self.path = real.with_name(real.name + ".lock")
        self._descriptor = _open_lock_file(self.path)
        self._name = -1
        try:
            self._lock(journal)
            self._name = _take_name(real)
        except JournalError:
            os.close(self._descriptor)
            raise
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def refuse_lost(self) -> None:
        """Raise where the lock's file is gone, since another process could lock a new one.

        Raises:
            JournalError: it was removed or replaced.
        """
        held = os.fstat(self._descriptor)
        try:
            found = self.path.stat(follow_symlinks=False)
        except OSError:
            found = None
        # mutation: F22 lock-gone
        if found is None or (found.st_dev, found.st_ino) != (held.st_dev, held.st_ino):
            raise JournalError(
                f"the lock {self.path} was removed or replaced while the keeper ran",
                hint="nothing is signed any more: check that no other keeper uses the journal, and"
                " start this one again",
            )

    def release(self) -> None:
        """Release the lock for the next process. A second call does nothing."""
        if self._name >= 0:
            os.close(self._name)
            self._name = -1
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self, journal: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # mutation: F22 named-lock
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            raise _build_in_use_error(journal, holder) from None


def _open_lock_file(path: Path) -> int:
    # mutation: F22 lock-link
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise JournalError(
            f"cannot open {path}: {error.strerror}", hint="check the folder and its permissions"
        ) from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in trusted_users(path, status.st_uid):
        os.close(descriptor)
        raise JournalError(
            f"the lock {path} is no file of this user's, but of user {status.st_uid}",
            hint="remove it if no keeper of that user runs on this journal",
        )
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o600)
        _transfer_to_folder_owner(descriptor, path)
    return descriptor


def _transfer_to_folder_owner(descriptor: int, path: Path) -> None:
    """Give a lock created by root to the folder's owner, so that the keeper can open it."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)


def _take_name(journal: Path) -> int:
    """Take the socket name of this file in this folder, and return its descriptor.

    -1 where the system has no such names, or another user took it.

    Raises:
        JournalError: another process of this user, or of root, has it.
    """
    if sys.platform != "linux":
        return -1
    folder = journal.parent.stat()
    known = f"{folder.st_dev}:{folder.st_ino}:{journal.name}"
    name = b"\0keeper-journal-" + hashlib.sha256(known.encode()).hexdigest()[:40].encode()
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(name)
        made.listen(socket.SOMAXCONN)
    except OSError:
        made.close()
        holder = _find_holder(name)
        if holder is not None:
            raise _build_in_use_error(journal, holder) from None
        log.warning("journal_name_taken hint=%s", "the journal's files are locked all the same")
        return -1
    return made.detach()


def _find_holder(name: bytes) -> str | None:
    """Return the process of this user or root that holds a name, None for another user's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_CONNECT_SECONDS)
        try:
            probe.connect(name)
            size = struct.calcsize(_PEER)
            answer = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        except OSError:
            return None
    process, user, _ = struct.unpack(_PEER, answer)
    return str(process) if user in (0, os.geteuid()) else None


def _build_in_use_error(journal: Path, holder: str) -> JournalError:
    return JournalError(
        f"the journal {journal} is in use by process {holder or 'unknown'}",
        hint="stop that process, or give this one a key and a journal of its own",
    )
