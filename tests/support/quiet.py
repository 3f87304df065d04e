"""
The watch over tests without I/O: a test that is not marked ``io`` opens no socket, starts nothing.

Python's audit events are heard for the whole process, so that it does not matter through which
library somebody connects, listens or starts a program.
"""

import _posixsubprocess
import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

from eth_hash.auto import keccak

LOUD = frozenset(
    {
        *("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendmsg", "socket.sendto"),
        *(
            "subprocess.Popen",
            "tests.fork_exec",
            "os.exec",
            "os.fork",
            "os.forkpty",
            "os.posix_spawn",
            "os.system",
        ),
    }
)
"""What opens a socket or starts a process; event loops only pair two sockets of their own."""


class LoudTest(AssertionError):
    """A test without the mark did I/O."""


class Watch:
    """Refuses I/O while a quiet test runs, and remembers that it was tried."""

    def __init__(self) -> None:
        self.is_quiet = False
        self.heard: list[str] = []

    def hear(self, event: str, _: tuple[Any, ...]) -> None:
        """Take note of an audit event; LoudTest where the test has no leave for it."""
        if self.is_quiet and event in LOUD:
            self.heard.append(event)
            raise LoudTest(f"{event} in a test that is not marked: @pytest.mark.io")

    def begin(self, *, quiet: bool) -> None:
        """Begin a test."""
        self.is_quiet = quiet
        self.heard.clear()

    def end(self) -> list[str]:
        """End a test and return what it tried, also where its code swallowed the error."""
        self.is_quiet = False
        heard = list(self.heard)
        self.heard.clear()
        return heard


def audited(function: Callable[..., int]) -> Callable[..., int]:
    """Return what ``multiprocessing`` starts processes with, and says nothing of it to a hook."""

    @functools.wraps(function)
    def start(*arguments: object) -> int:
        sys.audit("tests.fork_exec")
        return function(*arguments)

    return start


_posixsubprocess.fork_exec = audited(_posixsubprocess.fork_exec)
# Libraries that look at the machine when they are loaded, in whichever test is the first: one runs
# `file` on the interpreter, one binds a socket to learn of IPv6.
keccak(b"")
importlib.import_module("urllib3.util.connection")
WATCH = Watch()
sys.addaudithook(WATCH.hear)
