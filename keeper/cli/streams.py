"""The process's own streams: closed ones lead nowhere, and a full disk behind one is told."""

import errno
import os
import sys
from typing import Final

from keeper.domain.errors import EnvironmentFault

STREAMS: Final = 3
UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""Why what is written may not be kept, though somebody wanted to read it."""


def open_closed_streams() -> None:
    """
    Let streams that were closed by whoever started the process lead to nothing.

    A closed one leaves its number to the next file that is opened: a journal, and every line of
    output would be written over it.
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
    """Return what is wrong with the machine where output cannot be kept, else the error itself."""
    if not isinstance(error, OSError) or error.errno not in UNWRITABLE:
        return error
    return EnvironmentFault(
        f"what the command writes cannot be kept: {error.strerror}",
        hint="make room where its output goes, or send it elsewhere",
    )
