"""Protects the memory of a process that holds a key from dumps and other processes."""

import contextlib
import ctypes
import resource
from typing import Final

PR_SET_DUMPABLE: Final = 4
"""Source: linux/prctl.h. Without it neither a dump nor another process of the user gets in."""


def protect_memory() -> None:
    """Disable core dumps, and access to the memory by other processes of the same user.

    Where the system refuses, as in some containers, the process continues.
    """
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # mutation: G31 core-files
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
