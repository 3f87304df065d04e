"""A process that holds a key leaves nothing of its memory behind, whatever the command."""

import resource
import subprocess
import sys

import pytest

from keeper.cli.lazy import COMMANDS

PROBE = """
import ctypes, resource, sys
asked, setrlimit = [], resource.setrlimit
def watched(which, limits):
    asked.append((which == resource.RLIMIT_CORE, limits))
    setrlimit(which, limits)
resource.setrlimit = watched
from keeper.cli import root
root.run(sys.argv[1:])
left = resource.getrlimit(resource.RLIMIT_CORE)
print(asked, left, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.parametrize("command", [["key", "check"], ["scan"], ["config", "show"], ["--version"]])
def test_c8_no_command_dumps_its_memory(command, tmp_path):
    """A core file, or a debugger of the same user, would have the key; not only of `run`."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (most, most)),
    )

    assert done.stdout.splitlines()[-1] == "[(True, (0, 0))] (0, 0) 0"


EVERY = """
import contextlib, ctypes, io, resource
from keeper.__main__ import main
from keeper.cli import lazy, root
import sys
libc = ctypes.CDLL(None)
real = root._build_command
def watched():
    print(libc.prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE), file=sys.__stderr__)
    return real()
root._build_command = watched
for name in lazy.COMMANDS:
    libc.prctl(4, 1, 0, 0, 0)
    sys.argv = ["keeper", name, "--help"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main() == 0, name
    print(name)
"""


def test_c8_every_command_is_closed_before_it_is_even_looked_up(tmp_path):
    """Any of them reads settings, and the key with them: there is one way in for all."""
    done = subprocess.run(
        [sys.executable, "-c", EVERY],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    assert done.stdout.split() == list(COMMANDS)
    assert done.stderr.splitlines() == ["0 (0, 0)"] * len(COMMANDS)
