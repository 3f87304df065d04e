"""The process's standard streams. Replaces closed ones, and explains a full disk."""

import errno
import os
import sys
from typing import Final

from keeper.domain.errors import EnvironmentFault

STREAMS: Final = 3
UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""Why what is written may not be kept, though somebody wanted to read it."""


def open_closed_streams() -> None:
    """Redirect closed standard streams to the null device.

    The number of a closed stream is reused by the next opened file, such as a journal, and every
    line of output would be written over it.
    """
    for number in range(STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def explain_unwritable(error: Exception) -> Exception:
    """Return an EnvironmentFault if output cannot be stored, else the error itself."""
    if not isinstance(error, OSError) or error.errno not in UNWRITABLE:
        return error
    return EnvironmentFault(
        f"what the command writes cannot be kept: {error.strerror}",
        hint="make room where its output goes, or send it elsewhere",
    )
