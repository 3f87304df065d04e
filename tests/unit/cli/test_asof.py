"""What an answer from a keeper's file says of its age, and of a keeper that runs on it."""

import asyncio
import json
import socket

import pytest

from keeper.cli import root
from keeper.cli.asof import AsOf
from keeper.execution.control import socket_path
from keeper.margin.state import MarginState
from keeper.storage import episodes
from keeper.storage.journal import Journal
from keeper.storage.pulse import Pulse
from tests.support.scripted_submission import EXECUTOR
from tests.unit.cli.test_breaker_command import SETTINGS

STATE = MarginState(number=7, hash="0x7", timestamp=1_700_000_000)
NEVER = "as of no block: none is in the file yet; no keeper is running"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A journal whose newest block is number 7, kept three seconds after its time."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(SETTINGS)
    journal = Journal.open(tmp_path / "j.sqlite", chain_id=1, sender=EXECUTOR)
    asyncio.run(journal.database.write(episodes.keep_rest, STATE, 1_700_000_003))
    journal.close()
    return tmp_path


@pytest.mark.parametrize(
    ("pulse", "now", "line"),
    [
        (None, 5, NEVER),
        (
            Pulse(number=7, timestamp=1_700_000_000, seen_at=1_700_000_003),
            1_700_000_723,
            "as of block 7 (2023-11-14 22:13:20 UTC), 12 min ago; no keeper is running",
        ),
        (
            Pulse(number=7, timestamp=1_700_000_000, seen_at=1_700_043_200),
            1_700_043_202,
            "as of block 7 (2023-11-14 22:13:20 UTC), read 2 s ago; no keeper is running",
        ),
        (
            Pulse(number=7, timestamp=1_700_000_000, seen_at=1_600_000_000),
            1_600_000_060,
            "as of block 7 (2023-11-14 22:13:20 UTC), read 1 min ago; no keeper is running",
        ),
        (
            Pulse(number=7, timestamp=1_700_000_000, seen_at=None),
            1_699_999_999,
            "as of block 7 (2023-11-14 22:13:20 UTC), 0 s ago; no keeper is running",
        ),
        (
            Pulse(number=7, timestamp=1_700_000_000, seen_at=None),
            1_600_000_000,
            (
                "as of block 7 (2023-11-14 22:13:20 UTC), ahead of this machine's clock;"
                " no keeper is running"
            ),
        ),
    ],
)
def test_the_age_is_by_this_machines_clock_where_it_was_kept(pulse, now, line):
    """
    And never negative, where clocks differ.

    A block that was hours old when it was read did not come two seconds ago.
    """
    assert AsOf(pulse=pulse, running=False, now=now).line == line


COMMANDS = [
    ["calls"],
    ["breaker", "list"],
    ["tx", "list"],
    ["notify", "list"],
    ["report", "fairness"],
    ["report", "profit"],
]


@pytest.mark.io
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_answer_about_a_keeper_says_as_of_when_and_whether_one_runs(folder, capsys, command):
    """Twelve minutes old, or of a keeper that died in the night: it looks the same otherwise."""
    assert root.run(command) == 0
    told = capsys.readouterr()
    assert root.run([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)

    assert "as of block 7 (2023-11-14 22:13:20 UTC), " in told.out + told.err
    assert "no keeper is running" in told.out + told.err
    assert (document["as_of"]["block_number"], document["as_of"]["running"]) == (7, False)
    assert document["as_of"]["age_seconds"] > 0

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(folder / "j.sqlite")))
        listener.listen()
        assert root.run(command) == 0
        told = capsys.readouterr()

    assert "a keeper is running" in told.out + told.err
