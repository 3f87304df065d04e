"""What ``scripts/test --quick`` runs: no socket, no process, and some of every file."""

import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import COLLECTED, FOLDERS, ROOT
from tests.support.quiet import WATCH, LoudTest

LEAST = 900
"""So many tests at least are quick."""


def connect():
    with socket.socket() as made:
        made.connect(("127.0.0.1", 9))


def listen():
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))


def lock_by_a_name():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind("\0tests.quiet")


def ask_another_process():
    with contextlib.ExitStack() as stack:
        one, two = (stack.enter_context(each) for each in socket.socketpair())
        one.sendmsg([b"run"])
        two.recv(3)


def swallow_the_error():
    with contextlib.suppress(Exception), contextlib.suppress(AssertionError):
        connect()


LOUD = {
    "a connection": connect,
    "a port": listen,
    "a name in place of a port": lock_by_a_name,
    "a look-up of a name": lambda: socket.getaddrinfo("localhost", 80),
    "a message to a process that forks": ask_another_process,
    "a program": lambda: subprocess.run([sys.executable, "-V"], check=False),
    "a program of the shell's": lambda: os.system("true"),  # noqa: S605, S607
    "a fork": os.fork,
    "a process of Python's": multiprocessing.get_context("spawn").Process(target=print).start,
}


@pytest.fixture
def forgiven():
    """What this test tries on purpose is held against nobody."""
    yield
    WATCH.heard.clear()


@pytest.mark.parametrize("what", LOUD)
def test_a_test_without_the_mark_can_do_no_io(what, forgiven):
    """Through whichever library: it is refused, and remembered."""
    with pytest.raises(LoudTest, match="not marked"):
        LOUD[what]()

    assert WATCH.heard


def test_io_is_remembered_where_the_code_swallows_the_refusal(forgiven):
    """Much of what is tested takes any error for the network's."""
    swallow_the_error()

    assert WATCH.heard == ["socket.connect"]


async def test_an_event_loop_alone_is_no_io():
    """It pairs two sockets of its own, and most flow tests need one."""
    assert not WATCH.heard


@pytest.mark.io
def test_a_marked_test_may():
    """The mark is what counts."""
    listen()

    assert not WATCH.heard


def test_every_file_of_unit_and_flow_has_quick_tests(request):
    """A newcomer's run says something about all of the code."""
    collected = request.config.stash[COLLECTED]
    named = {arg.partition("::")[0] for arg in request.config.args if "::" in arg}
    counts = Counter()
    for path, is_quick in collected:
        if path.relative_to(ROOT).parts[0] in ("unit", "flow") and not any(
            path.is_relative_to(Path(name).resolve()) for name in named
        ):
            counts[path] += is_quick

    assert [str(path) for path, count in counts.items() if not count] == []
    if set(counts) >= {*ROOT.glob("unit/**/test_*.py"), *ROOT.glob("flow/**/test_*.py")}:
        assert counts.total() >= LEAST


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_marked_folder_exists(folder):
    """A folder that was renamed would lose its marks."""
    assert list((ROOT / folder).rglob("test_*.py"))
