"""Protection of a process that holds a key: nothing of its memory reaches a disk or a stranger."""

import contextlib
import ctypes
import resource
from typing import Final

PR_SET_DUMPABLE: Final = 4
"""Source: linux/prctl.h. Without it neither a dump nor another process of the user gets in."""


def protect_memory() -> None:
    """
    Forbid core dumps, and reading the process's memory by others of the same user.

    Where the system does not let it, as in some containers, the process goes on.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
