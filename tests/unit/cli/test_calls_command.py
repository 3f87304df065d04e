"""`keeper calls`: who is called, what is left of the grace, and an acknowledgement that is kept."""

import json
import sqlite3
import time
from dataclasses import replace

import pytest

from keeper.cli import root
from keeper.notify.rendering import message_of
from keeper.storage import database, episodes, outbox
from keeper.storage.journal import Journal
from keeper.storage.places import file_of
from tests.support.notices import notice
from tests.unit.cli.test_breaker_command import SETTINGS
from tests.unit.margin.story import (
    GUARDIAN_HERE,
    INTERVAL,
    MARKET,
    START,
    Story,
    revived,
    someone,
)

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


@pytest.mark.io
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


@pytest.mark.io
def test_a_table_for_people(folder, capsys):
    """Symbol and word, the account whole, what is left."""
    played(folder, 2_600, *[2_050] * 4)

    assert root.run(["calls"]) == 0

    out = capsys.readouterr().out
    assert "✖ liquidatable" in out
    assert someone(1) in out
    assert "24 blocks, 288 s" in out
    assert out.splitlines()[1].split()[-3:] == ["-", "no", "m:1"]


@pytest.mark.io
def test_an_acknowledgement_by_the_beginning_of_the_address(folder, capsys):
    """Where no node runs the command keeps it itself, under the journal's lock, on record."""
    played(folder, 2_600, *[2_050] * 4)

    assert root.run(["calls", "ack", "0x", "--json"]) == 2
    assert "begins 2 accounts" in capsys.readouterr().err
    assert root.run(["calls", "ack", someone(1), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["account"], told["acknowledged"]) == (someone(1), True)
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


@pytest.mark.io
def test_each_way_of_running_has_calls_of_its_own(folder, capsys):
    """Without a flag the live journal is looked at, and where there is none, the observer's."""
    played(folder, 2_600, *[2_050] * 4, mode="observe")

    assert root.run(["calls", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["calls"]) == 2
    assert root.run(["calls", "--dry-run"]) == 4
    assert "there is no journal" in capsys.readouterr().err
    assert root.run(["calls", "ack", someone(9)]) == 2
    assert "has no open call" in capsys.readouterr().err


def told(folder, *states):
    """Put a call of the first account into the outbox, with a way for each of the states."""
    call = notice(
        market=MARKET, account=someone(1), tier="liquidatable", key="k", timestamp=1_800_000_000
    )
    file = database.opened(folder / "j.sqlite")
    file.write_now(outbox.enqueue, [call], 1_700_000_000)
    ((at, _),) = file.write_now(outbox.unrouted, 9)
    file.write_now(outbox.route, {at: [f"c{n}" for n, _ in enumerate(states)]}, 1_700_000_001)
    for number, state in enumerate(states):
        (waiting,) = file.write_now(outbox.waiting, f"c{number}", 0, 9)
        message = replace(message_of(f"c{number}", [call]), key=str(number))
        file.write_now(outbox.compose, f"c{number}", message, [waiting.delivery], 1)
        made = max(one.id for one in file.write_now(outbox.listed, 9))
        if state == "sent":
            file.write_now(outbox.sent, made, 1_700_000_060 + number)
        elif state == "dead":
            file.write_now(outbox.given_up, made, "refused", 1_700_000_090)
    file.close()


@pytest.mark.io
@pytest.mark.parametrize(
    ("states", "said"),
    [
        ((), "due; no channel asked for it"),
        (("waiting",), "due; waiting for 1 channel"),
        (("sent", "sent"), "delivered to 2 channels at 2023-11-14 22:14:20 UTC"),
        (
            ("sent", "dead", "waiting", "waiting"),
            (
                "delivered to 1 channel at 2023-11-14 22:14:20 UTC; waiting for 2 channels;"
                " given up for 1 channel"
            ),
        ),
    ],
)
def test_a_call_is_due_or_delivered_and_never_assumed(folder, capsys, states, said):
    """A board that says "called" where no channel exists is believed, and false."""
    played(folder, 2_600, *[2_050] * 4)
    told(folder, *states)

    assert root.run(["calls"]) == 0
    out = capsys.readouterr().out
    assert root.run(["calls", "--json"]) == 0

    (call,) = [
        one["delivery"]
        for one in json.loads(capsys.readouterr().out)["calls"]
        if one["account"] == someone(1)
    ]
    assert said in out
    assert call["delivered_to"] == states.count("sent")
    assert call["state"] == ("delivered" if "sent" in states else "due")
    assert "no delivery is known" in out, "the other account's call is not in the outbox"


@pytest.mark.io
def test_a_board_says_of_which_block_it_is_how_old_and_whether_a_keeper_runs(folder, capsys):
    """A board of twelve minutes ago must not look like now."""
    story = played(folder, 2_600, *[2_050] * 4)
    kept_at = START + INTERVAL * 5

    assert root.run(["calls"]) == 0
    *_, warning, last = capsys.readouterr().out.splitlines()
    assert root.run(["calls", "--json"]) == 0

    document = json.loads(capsys.readouterr().out)
    assert last.startswith(f"as of block {story.number} (2027-01-15 08:01:00 UTC), ")
    assert last.endswith("; no keeper is running")
    assert warning == "these settings have no channel: calls come due and are delivered to nobody"
    assert document["warnings"] == [warning]
    as_of = document["as_of"]
    assert (as_of["block_number"], as_of["timestamp"]) == (5, kept_at)
    age = time.time() - kept_at
    assert as_of["age_seconds"] == (None if age < -60 else pytest.approx(max(0, age), abs=60))
    assert as_of["running"] is False


@pytest.mark.parametrize("arguments", [[], ["ack", someone(1)]])
def test_without_a_journal_no_call_is_listed_or_acknowledged(folder, capsys, arguments):
    """An empty list would say that nobody is called."""
    assert root.run(["calls", *arguments]) == 4

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error[journal]: there is no journal at")
    assert [path.name for path in folder.iterdir()] == ["keeper.toml"]
