"""Streams that are closed, and outputs that take nothing more."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.cli.plain_text import plain
from tests.unit.cli.test_breaker_command import SETTINGS

OPENS = """
import os, sys
from keeper.cli import root
code = root.run(sys.argv[2:])
taken = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
sys.stdout and print("a line of output")
os.write(taken, b"%d" % taken)
sys.exit(code)
"""


def shell(line, folder, *arguments):
    return subprocess.run(
        ["/bin/bash", "-c", line, "bash", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "PYTHON": sys.executable},
    )


@pytest.mark.io
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_no_file_takes_the_place_of_a_closed_stream(closed, tmp_path):
    """A journal on the number of stdout would have every line of output written over it."""
    done = shell(f'"$PYTHON" -c "$1" taken --version {closed}', tmp_path, OPENS)

    assert done.returncode == 0, done.stderr
    number = (tmp_path / "taken").read_text()
    assert number.isdigit()  # and nothing else stands in it
    assert int(number) > 2


@pytest.mark.io
@pytest.mark.parametrize("arguments", ["scan --json", "scan", "tx list --json", "nonsense"])
def test_an_error_with_a_closed_stdout_is_that_error(arguments, tmp_path):
    """And no traceback of ours."""
    done = shell(f'"$PYTHON" -m keeper {arguments} >&-', tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("error[")
    assert "Traceback" not in done.stderr


@pytest.mark.io
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
@pytest.mark.parametrize("arguments", ["config show", "config show --json", "--help"])
def test_output_that_cannot_be_kept_is_the_machines_fault(arguments, tmp_path):
    """A full disk is no bug of ours, and not a success either."""
    (tmp_path / "keeper.toml").write_text(SETTINGS)
    done = shell(f'"$PYTHON" -m keeper {arguments} > /dev/full', tmp_path)

    assert done.returncode == 3, done.stderr
    assert "error[environment]: what the command writes cannot be kept" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.io
def test_a_pipe_that_ends_early_is_no_error(tmp_path):
    """As with `head`."""
    (tmp_path / "keeper.toml").write_text(SETTINGS)
    done = shell(
        '"$PYTHON" -m keeper config show --json | head -c 1; echo ${PIPESTATUS[0]}', tmp_path
    )

    assert done.stdout == "{0\n"
    assert done.stderr == ""


def test_every_symbol_of_ours_has_a_plain_form():
    """A question mark in a chart or a sentence says nothing."""
    source = Path(__file__).resolve().parents[3] / "keeper"
    ours = {
        letter
        for folder in ("cli", "notify", "margin", "domain")
        for path in (source / folder).rglob("*.py")
        if path.name not in ("names.py", "errors.py")
        for letter in path.read_text()
        if not letter.isascii()
    }

    assert ours
    assert json.dumps({one: plain(one) for one in ours if plain(one) == "?"}) == "{}"
