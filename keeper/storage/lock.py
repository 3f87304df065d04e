"""The one signing process of a journal: an flock that is held for life."""

import contextlib
import fcntl
import os
from pathlib import Path

from keeper.domain.errors import JournalError


class SigningLock:
    """
    ``<journal>.lock``, locked; the kernel releases it when the process dies.

    It is beside the file itself, whatever links lead there: one file has one lock.
    """

    def __init__(self, journal: Path) -> None:
        real = journal.resolve()
        self.path = real.with_name(real.name + ".lock")
        self._descriptor = _opened(self.path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise JournalError(
                f"the journal {journal} is in use by process {holder or 'unknown'}",
                hint="stop that process, or give this one a key and a journal of its own",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next process sign; a second call does nothing."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise JournalError(
            f"cannot open {path}: {error.strerror}", hint="check the folder and its permissions"
        ) from None
    with contextlib.suppress(OSError):
        os.fchmod(descriptor, 0o600)
    return descriptor
