"""`keeper breaker` beside no node: under the journal's lock, and recorded."""

import asyncio
import json
import sqlite3

import pytest

from keeper.cli import root
from keeper.domain.breaker import Breaker, OpenBreaker
from keeper.storage.journal import Journal
from tests.support.scripted_submission import EXECUTOR

SETTINGS = """\
[chain]
id = 1
endpoints = ["http://127.0.0.1:1"]

[[market]]
protocol = "aave_v3"
addresses_provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"
from_block = 0

[journal]
path = "j.sqlite"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def tripped(folder):
    """A journal whose keeper has failed too often."""
    held = OpenBreaker(name=Breaker.REVERTS, detail="five", block_number=7, timestamp=1)
    journal = Journal.open(folder / "j.sqlite", chain_id=1, sender=EXECUTOR)
    asyncio.run(journal.open_breaker(held))
    yield journal
    journal.close()


def controlled(folder):
    with sqlite3.connect(folder / "j.sqlite") as raw:
        rows = raw.execute("SELECT action, argument, result FROM control_actions").fetchall()
    raw.close()
    return rows


@pytest.mark.io
def test_the_list_is_read_beside_the_process_that_has_the_journal(tripped, capsys):
    """One line for each, the open one with its reason."""
    assert root.run(["breaker", "list"]) == 0

    first, *others = capsys.readouterr().out.splitlines()
    assert first.split() == ["reverts", "OPEN", "since", "block", "7:", "five"]
    assert [one.split() for one in others] == [
        ["races_per_hour", "closed"],
        ["gas_per_hour", "closed"],
        ["gas_per_day", "closed"],
        ["paused", "closed"],
        ["finality", "closed"],
    ]


@pytest.mark.io
def test_a_reset_needs_the_lock_and_is_recorded(tripped, folder, capsys):
    """A process that holds the journal and takes no commands is not gone behind the back of."""
    assert root.run(["breaker", "reset", "reverts"]) == 4
    assert "in use by process" in capsys.readouterr().err
    tripped.close()

    assert root.run(["breaker", "reset", "reverts", "--json"]) == 0
    assert not any(one["open"] for one in json.loads(capsys.readouterr().out)["breakers"])
    assert controlled(folder) == [
        ("reset", "reverts", "asked, no node running"),
        ("reset", "reverts", "done"),
    ]


@pytest.mark.io
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["reset", "revert"], 2, "there is no such breaker"),
        (["reset", "gas_per_day"], 2, "gas_per_day is not open"),
        (["resume"], 2, "paused is not open"),
    ],
)
def test_what_cannot_be_closed_is_said_in_one_line(tripped, capsys, arguments, code, said):
    """And nothing changes."""
    tripped.close()

    assert root.run(["breaker", *arguments]) == code
    assert said in capsys.readouterr().err


@pytest.mark.io
@pytest.mark.parametrize("arguments", [["list"], ["pause"], ["reset", "reverts"]])
def test_without_a_journal_there_is_nothing_to_switch(folder, capsys, arguments):
    """None is made by asking."""
    assert root.run(["breaker", *arguments]) == 4
    assert not (folder / "j.sqlite").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["list"], 4, "error[journal]: there is no journal at"),
        (["reset", "nonsense"], 2, "error[config]: there is no such breaker"),
    ],
)
def test_without_a_journal_or_a_breaker_of_the_name_it_makes_nothing(
    folder, capsys, arguments, code, error
):
    """A journal that a question made would be taken for the key's own."""
    assert root.run(["breaker", *arguments]) == code

    assert capsys.readouterr().err.startswith(error)
    assert [path.name for path in folder.iterdir()] == ["keeper.toml"]
