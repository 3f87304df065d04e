"""Exposure of a file to other users of the machine.

Checks the file's mode and owner, its links, and the folders that lead to it, since a user who may
write to a folder may replace its files.
"""

import errno
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

PRIVATE_FILE: Final = 0o600
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_STRANGERS_WRITE: Final = 0o002
_MOST_LINKS: Final = 40
"""The kernel follows no more in one path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """One weakness. ``problem`` continues the file's name, ``hint`` is the remedy."""

    problem: str
    hint: str
    is_foreign: bool = False
    """Whether the file belongs to somebody else, who says what stands in it."""


def find_exposures(path: Path) -> list[Exposure]:
    """Return the ways in which other users can reach a file. Empty if it does not exist.

    Also empty on systems without POSIX modes. Root is not counted as another user, and to root the
    owner of a file in a folder of his own is not one either. For pipes and devices the folders do
    not matter.
    """
    if os.name != "posix" or not path.exists():
        return []
    status = path.stat()
    trusted = trusted_users(path, status.st_uid)
    found = [*_find_status_exposures(path, status, trusted)]
    if stat.S_ISREG(status.st_mode):
        found += chain.from_iterable(
            _find_link_exposures(hop, trusted) for hop in _follow_links(path)
        )
    return found


def find_open_folder(path: Path) -> Exposure | None:
    """Return how other users can replace a file that may not exist yet. None if they cannot."""
    if os.name != "posix":
        return None
    trusted = trusted_users(path, path.resolve().parent.stat().st_uid)
    for hop in _follow_links(path):
        for folder in hop.parents:
            for found in _find_folder_exposures(folder, _STRANGERS_WRITE, trusted):
                return found
    return None


def trusted_users(path: Path, owner: int) -> frozenset[int]:
    """Return the users who may own a file, its links and folders.

    Root may read the files of a user in that user's own folder, and those of the user who became
    root by ``sudo``.
    """
    user = os.geteuid()
    if user != 0:
        return frozenset({0, user})
    by_sudo = os.environ.get("SUDO_UID", "")
    visited = {owner} if path.resolve().parent.stat().st_uid == owner else set[int]()
    return frozenset({0, *visited, *([int(by_sudo)] if by_sudo.isdecimal() else [])})


def open_private(path: Path, flags: int = os.O_TRUNC) -> int:
    """Open a file for writing that only its owner may read, whatever was there before.

    Raises:
        OSError: it cannot be created, or the file or its link belongs to another user.
    """
    if path.is_symlink() and path.lstat().st_uid not in (0, os.geteuid()):
        raise OSError(errno.ELOOP, "it is a link of another user's")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, PRIVATE_FILE)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, PRIVATE_FILE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _find_status_exposures(
    path: Path, status: os.stat_result, trusted: Collection[int]
) -> Iterator[Exposure]:
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid not in trusted:
        yield Exposure(
            problem=f"it belongs to user {status.st_uid}, not to user {os.geteuid()} who reads it",
            hint=f"chown {os.geteuid()} {path}, or run as user {status.st_uid}",
            is_foreign=True,
        )
    if mode & _OTHERS:  # mutation: G33 readable-key
        may = "change" if mode & _OTHERS_WRITE else "read"
        yield Exposure(
            problem=f"other users may {may} it: its mode is {mode:04o}, allowed is 0600",
            hint=f"chmod 600 {path}",
        )


def _follow_links(path: Path) -> Iterator[Path]:
    """Yield the path and the target of each of its links, in folders without links."""
    here = path.absolute()
    for _ in range(_MOST_LINKS):
        here = here.parent.resolve() / here.name
        yield here
        if not here.is_symlink():
            return
        here = here.parent / here.readlink()


def _find_link_exposures(path: Path, trusted: Collection[int]) -> Iterator[Exposure]:
    if path.is_symlink() and (owner := path.lstat().st_uid) not in trusted:
        yield Exposure(
            problem=f"the link {path} belongs to user {owner}",
            hint=f"remove {path}, and name the file itself",
            is_foreign=True,
        )
    yield from _find_folder_exposures(path.parent, _OTHERS_WRITE, trusted)
    for folder in path.parent.parents:
        yield from _find_folder_exposures(folder, _STRANGERS_WRITE, trusted)


def _find_folder_exposures(
    folder: Path, refused: int, trusted: Collection[int]
) -> Iterator[Exposure]:
    """Yield an exposure if others may replace a folder's files. A sticky folder is safe."""
    status = folder.stat()
    if status.st_uid not in trusted:
        yield Exposure(
            problem=f"its folder {folder} belongs to user {status.st_uid}",
            hint="move it to a folder of your own of mode 0700",
        )
    elif status.st_mode & refused and not status.st_mode & stat.S_ISVTX:
        yield Exposure(
            problem=f"other users may write to its folder {folder}:"
            f" mode {stat.S_IMODE(status.st_mode):04o}, allowed is 0755",
            hint=f"chmod go-w {folder}",
        )
