"""The keepers that tests start by a fork are what an operator starts: held against cold starts."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.devnet.toolchain import ROOT
from tests.support.forked import completed, started

SETTINGS = """\
[chain]
id = 31337
endpoints = ["http://127.0.0.1:{port}"]

[[market]]
protocol = "aave_v3"
addresses_provider = "0x00000000000000000000000000000000DeaDBeef"
from_block = 0

[observe]
listen = ""
"""
RUN = ("run", "--observe", "--json")
PATIENCE = 120.0


@pytest.fixture
def node():
    """A node that takes connections and never says a word."""
    with socket.socket() as silent:
        silent.settimeout(PATIENCE)
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield silent


@pytest.fixture
def folder(tmp_path, node):
    """An operator's folder."""
    (tmp_path / "keeper.toml").write_text(SETTINGS.format(port=node.getsockname()[1]))
    return tmp_path


def environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEEPER_")}
    as_forked = {"OPENBLAS_NUM_THREADS": "1"}
    return kept | as_forked | {"PYTHONPATH": str(ROOT), "KEEPER_POLICY__MIN_PROFIT_USD": "7"}


def started_cold(arguments, **options):
    return subprocess.Popen([sys.executable, "-m", "keeper", *arguments], **options)


def facts(pid):
    """Return what the system knows of a process that could make it behave in another way."""
    place = Path(f"/proc/{pid}")
    status = dict(line.split(":\t", 1) for line in (place / "status").read_text().splitlines())
    kept = ("SigBlk", "SigIgn", "SigCgt", "Groups", "NoNewPrivs", "Umask", "Threads")
    return {
        **{name: status[name] for name in kept},
        "folder": (place / "cwd").readlink(),
        "group": os.getpgid(pid),
        "limits": (place / "limits").read_text(),
        "files": sorted(str(one.readlink()).split(":[")[0] for one in (place / "fd").iterdir()),
    }


def lived(start, folder, node):
    """Start a run, and end it when it asks its node; return what it was and how it ended."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = start(RUN, cwd=folder, env=environment(), stdout=out, stderr=err)
    with contextlib.closing(node.accept()[0]):
        known = facts(process.pid)
        process.send_signal(signal.SIGTERM)
        code = process.wait(PATIENCE)
    return known, code, (folder / "out").read_text(), (folder / "err").read_text()


def test_a_forked_keeper_is_what_a_cold_start_is_and_ends_alike(folder, node):
    """Signals, limits, files, folder, group, words and code: tests speak of the real process."""
    forked, *ended = lived(started, folder, node)
    cold, *wanted = lived(started_cold, folder, node)

    assert forked == cold
    assert ended == wanted


@pytest.mark.parametrize(
    "arguments",
    [
        ("config", "show", "--origin"),
        ("scan", "--block", "latest"),
    ],
)
def test_a_forked_command_says_what_a_cold_start_says(folder, arguments):
    """Settings of the folder and of the environment, errors, streams and exit codes."""
    options = {"cwd": folder, "env": environment()}
    forked = completed(arguments, timeout=PATIENCE, **options)

    cold = started_cold(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    assert (forked.stdout, forked.stderr) == cold.communicate(timeout=PATIENCE)
    assert forked.returncode == cold.returncode


def test_one_that_does_not_end_is_waited_for_no_longer_than_asked(folder, node):
    """And it is still there afterwards, to be ended."""
    with Path(os.devnull).open("wb") as nothing:
        process = started(RUN, cwd=folder, env=environment(), stdout=nothing, stderr=nothing)
    with contextlib.closing(node.accept()[0]):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert process.poll() is None

        process.kill()

        assert process.wait(PATIENCE) == process.poll() == -signal.SIGKILL
        process.kill()
