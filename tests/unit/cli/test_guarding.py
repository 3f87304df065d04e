"""A process that holds a key leaves nothing of its memory behind, whatever the command."""

import subprocess
import sys

import pytest

PROBE = """
import ctypes, resource, sys
from keeper.cli import root
root.run(sys.argv[1:])
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.parametrize("command", [["key", "check"], ["scan"], ["config", "show"], ["--version"]])
def test_c8_no_command_dumps_its_memory(command, tmp_path):
    """A core file, or a debugger of the same user, would have the key; not only of `run`."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    assert done.stdout.splitlines()[-1] == "(0, 0) 0"
