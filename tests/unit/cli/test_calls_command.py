"""`keeper calls`: who is called, what is left of the grace, and an acknowledgement that is kept."""

import json
import sqlite3

import pytest

from keeper.cli import root
from keeper.storage import episodes
from keeper.storage.journal import Journal
from keeper.storage.places import file_of
from tests.unit.cli.test_breaker_command import SETTINGS
from tests.unit.margin.story import GUARDIAN_HERE, Story, revived, someone

GUARDIAN = '\n[policy]\nname = "guardian"\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(SETTINGS + GUARDIAN)
    return tmp_path


def played(folder, *prices, mode="live"):
    """Keep a story of two accounts in the journal of a mode, and leave."""
    path = file_of(folder / "j.sqlite", mode)
    journal = Journal.open(path, chain_id=1, sender=None)
    story = Story(debts={1: 1_600, 2: 1_700}, settings=GUARDIAN_HERE)

    def keep(connection, found, facts):
        episodes.keep(connection, found.state, found.changes, facts, {})

    for price in prices:
        facts, found = story.looked(price)
        journal.database.write_now(keep, found, facts)
    stored = journal.database.write_now(episodes.state_of)
    journal.close()
    assert stored == revived(story.state)
    return story


def test_open_calls_are_listed_worst_first_with_the_time_that_is_left(folder, capsys):
    """One is past the line since three blocks, one is close to it."""
    played(folder, 2_600, *[2_050] * 4, *[2_040] * 4)

    assert root.run(["calls", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    worst, other = document["calls"]
    assert document["block_number"] == 9
    assert (worst["account"], worst["tier"]) == (someone(2), "liquidatable")
    assert (other["account"], other["tier"]) == (someone(1), "urgent")
    assert worst["grace_left"] == {"blocks": 25 - 5, "seconds": 300 - 5 * 12}
    assert other["grace_left"] is None
    assert worst["since"]["block"] == 4
    assert not worst["acknowledged"]


def test_a_table_for_people(folder, capsys):
    """Symbol and word, the account whole, what is left."""
    played(folder, 2_600, *[2_050] * 4)

    assert root.run(["calls"]) == 0

    out = capsys.readouterr().out
    assert "✖ liquidatable" in out
    assert someone(1) in out
    assert "24 blocks, 288 s" in out
    assert out.splitlines()[1].split()[-3:] == ["-", "no", "m:1"]


def test_an_acknowledgement_by_the_beginning_of_the_address(folder, capsys):
    """Where no node runs the command keeps it itself, under the journal's lock, on record."""
    played(folder, 2_600, *[2_050] * 4)

    assert root.run(["calls", "ack", "0x", "--json"]) == 2
    assert "begins 2 accounts" in capsys.readouterr().err
    assert root.run(["calls", "ack", someone(1), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"account": someone(1), "acknowledged": True}
    assert root.run(["calls", "--json"]) == 0
    calls = json.loads(capsys.readouterr().out)["calls"]
    assert {one["account"]: one["acknowledged"] for one in calls} == {
        someone(1): True,
        someone(2): False,
    }
    with sqlite3.connect(folder / "j.sqlite") as raw:
        rows = raw.execute("SELECT action, result FROM control_actions").fetchall()
    raw.close()
    assert rows == [("ack", "asked, no node running"), ("ack", "done")]


def test_each_way_of_running_has_calls_of_its_own(folder, capsys):
    """Without a flag the live journal is looked at, and where there is none, the observer's."""
    played(folder, 2_600, *[2_050] * 4, mode="observe")

    assert root.run(["calls", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["calls"]) == 2
    assert root.run(["calls", "--dry-run"]) == 4
    assert "there is no journal" in capsys.readouterr().err
    assert root.run(["calls", "ack", someone(9)]) == 2
    assert "has no open call" in capsys.readouterr().err
