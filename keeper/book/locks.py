"""Locks of a book's file, held by a keeper for its lifetime and by a command while it writes.

Both are flocks on files beside the book, which the kernel releases when the process dies.
"""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

from keeper.domain.errors import EnvironmentFault
from keeper.exposure import trusted_users

VISIT_SECONDS: Final = 30.0
"""Maximum wait of a keeper for a writing command, which takes milliseconds."""
_PAUSE_SECONDS: Final = 0.02


class NotUsable(EnvironmentFault):
    """The book's file cannot be used. The keeper continues without it."""

    code = "book_file"


class InUse(NotUsable):
    """Another process has the book's file."""


def lock_for_life(path: Path) -> int:
    """Lock a book's file for its keeper and return the lock's descriptor.

    A command first takes a lock of its own (``.visit``). While that one is free, the process with
    the book is a keeper.

    Raises:
        NotUsable: another keeper has the file, or its lock cannot be created.
    """
    locked = _open_lock(path, ".lock")
    try:
        if _try_to_lock(locked):
            return locked
        visit = _open_lock(path, ".visit")
        try:
            patience = time.monotonic() + VISIT_SECONDS
            while not _try_to_lock(visit) and time.monotonic() < patience:
                time.sleep(_PAUSE_SECONDS)
            if _try_to_lock(locked):
                return locked
        finally:
            os.close(visit)
    except BaseException:
        os.close(locked)
        raise
    os.close(locked)
    raise InUse("another keeper has the book's file")


def visit_and_lock(path: Path) -> tuple[int, int]:
    """Lock a book's file for a writing command and return both descriptors.

    Raises:
        InUse: a keeper, or another command, has the file.
        NotUsable: its lock cannot be created.
    """
    visit = _open_lock(path, ".visit")
    try:
        if _try_to_lock(visit):
            locked = _open_lock(path, ".lock")
            if _try_to_lock(locked):
                return visit, locked
            os.close(locked)
    except BaseException:
        os.close(visit)
        raise
    os.close(visit)
    raise InUse("a keeper, or another command, has the book's file")


def owned_as_the_folder(descriptor: int, path: Path) -> None:
    """Give a file created by root to its folder's owner, so that the keeper can open it."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.fchown(descriptor, folder.st_uid, folder.st_gid)


def _open_lock(path: Path, ending: str) -> int:
    beside = path.with_name(path.name + ending)
    try:
        made = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise NotUsable(f"{beside.name} cannot be made: {error.strerror}") from None
    owner = os.fstat(made).st_uid
    if owner not in trusted_users(beside, owner):
        os.close(made)
        raise NotUsable(f"{beside.name} belongs to user {owner}")
    try:
        owned_as_the_folder(made, beside)
    except OSError as error:
        os.close(made)
        raise NotUsable(f"{beside.name} cannot be made: {error.strerror}") from None
    return made


def _try_to_lock(descriptor: int) -> bool:
    """Whether the file is locked now by this descriptor."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
