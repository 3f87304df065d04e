"""``keeper audit verify|head|export|prune`` over a real file: what they print and their codes."""

import contextlib
import json
import os
import sqlite3
import stat

import pytest

from keeper.audit.canonical import canonical, sha256
from keeper.audit.chain import NewEntry
from keeper.cli import replay, root
from keeper.cli.recorded import on_record
from keeper.cli.records import read_record
from keeper.storage.database import opened
from keeper.storage.record import Scope, append, newest, verified
from tests.unit.storage.test_record import entries

SETTINGS = (
    '[chain]\nid = 1\nendpoints = ["http://127.0.0.1:1"]\n'
    '[[market]]\nprotocol = "aave_v3"\n'
    'addresses_provider = "0x2f39d218133AFaB8F2B819B1066c7E434Ad94E9e"\nfrom_block = 1\n'
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with settings and a record of six entries."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(SETTINGS)
    made = opened(tmp_path / "keeper.sqlite")
    made.write_now(append, *entries(6))
    made.close()
    return tmp_path


def ran(capsys, *arguments):
    """Run a command; return its exit code, what it printed and what it complained about."""
    code = root.run(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


def changed(folder, statement):
    with contextlib.closing(sqlite3.connect(folder / "keeper.sqlite")) as raw:
        raw.execute(statement)
        raw.commit()


@pytest.mark.slow
def test_a_sound_record_is_told_with_its_head(folder, capsys):
    """The head is what is noted elsewhere, and what is given back as an anchor later."""
    code, out, _ = ran(capsys, "audit", "verify")
    _, anchor, _ = ran(capsys, "audit", "head")

    assert code == 0
    assert "6 entries are as they were written" in out
    assert anchor.strip() in out
    assert ran(capsys, "audit", "verify", "--anchor", anchor.strip())[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("UPDATE entries SET body = replace(body, '4', '5') WHERE id = 4", 4),
        ("DELETE FROM entries WHERE id = 3", 3),
        ("UPDATE entries SET id = CASE id WHEN 2 THEN -5 ELSE id END", 2),
        ("DELETE FROM texts WHERE text = '[\"5\"]'", 5),
    ],
)
def test_what_was_done_to_it_is_named_and_the_command_fails(folder, capsys, statement, bad):
    """Scripts go by the exit code, people by the line."""
    changed(folder, statement)

    code, out, _ = ran(capsys, "audit", "verify", "--json")

    assert code == 3
    assert json.loads(out)["first_bad_entry"] == bad
    assert ran(capsys, "audit", "verify")[1].startswith("keeper.sqlite: ")


@pytest.mark.slow
def test_a_cut_off_end_is_found_by_the_anchor(folder, capsys):
    """The one thing that the chain itself cannot know."""
    anchor = ran(capsys, "audit", "head")[1].strip()
    changed(folder, "DELETE FROM entries WHERE id > 4")
    changed(folder, "DELETE FROM texts WHERE text IN ('[\"5\"]', '[\"6\"]')")

    assert ran(capsys, "audit", "verify")[0] == 0
    assert ran(capsys, "audit", "verify", "--anchor", anchor)[0] == 3
    assert ran(capsys, "audit", "verify", "--anchor", "nonsense")[0] == 2


@pytest.mark.slow
def test_what_a_running_node_appends_meanwhile_is_no_finding(folder):
    """Entries and texts are read as they stood at one moment; else the newest would seem stray."""

    def work(connection):
        before = newest(connection)
        running = opened(folder / "keeper.sqlite")
        running.write_now(append, *entries(3, first=7))
        running.close()
        return before, newest(connection), verified(connection, Scope())

    before, after, found = read_record(folder / "keeper.sqlite", work)

    assert before == after == found.head
    assert found.problem == ""


@pytest.mark.slow
def test_an_export_can_be_verified_by_anybody(folder, capsys):
    """The hashes follow from the lines alone: the rule is in the documentation."""
    _, out, _ = ran(capsys, "audit", "export")

    lines = [json.loads(line) for line in out.splitlines()]
    texts = [line for line in lines if line["kind"] == "text"]
    assert all(sha256(canonical_json(line["body"])) == line["hash"] for line in texts)
    hashed, link = [line for line in lines if line["kind"] != "text"], "0" * 64
    assert len(hashed) == 6
    for line in hashed:
        digits = [str(line[name]) for name in ("block_number", "block_time")]
        about = [line["kind"], *digits, line["market"], line["account"]]
        body = canonical_json(line["body"])
        link = sha256(canonical_json([link, str(line["number"]), *about, body]))
        assert line["hash"] == link


def canonical_json(document):
    """By the documentation's words, without the program's own rule."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("audit", "verify", "--from", "4", "--to", "2"), "--to 2 is before --from 4"),
        (("audit", "export", "--from", "4", "--to", "2"), "--to 2 is before --from 4"),
        (("audit", "verify", "--from", "7"), "--from 7 is after the record's last entry, 6"),
        (("replay", "3", "--all"), "exclude each other"),
    ],
)
def test_a_part_that_there_is_not_is_refused(folder, capsys, arguments, told):
    """ "0 entries are as they were written" would pass for a check."""
    code, _, err = ran(capsys, *arguments)

    assert code == 2
    assert told in err


@pytest.mark.slow
def test_an_export_to_a_file_says_what_was_written(folder, capsys):
    """Silence leaves open whether there was anything."""
    code, _, err = ran(capsys, "audit", "export", "--out", "r.jsonl", "--to", "4")

    assert (code, err.strip()) == (0, "4 entries and 6 texts written to r.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_an_export_is_as_private_as_the_journal(folder, capsys, form):
    """It says the same; a file of everybody's that lay there is no way round that."""
    (folder / "old").touch()
    (folder / "old").chmod(0o666)
    before = os.umask(0)
    try:
        codes = [
            ran(capsys, "audit", "export", "--format", form, "--out", name)[0]
            for name in ("new", "old")
        ]
    finally:
        os.umask(before)

    assert codes == [0, 0]
    modes = [stat.S_IMODE((folder / name).stat().st_mode) for name in ("new", "old")]
    assert modes == [0o600, 0o600]


@pytest.mark.io
def test_a_record_without_a_breach_says_so(folder, capsys):
    """An empty table with its legend reads like a fault."""
    changed(folder, "DELETE FROM entries")

    assert ran(capsys, "report", "fairness")[1] == (
        "no account that crossed the line is on record\n"
    )


@pytest.mark.slow
def test_an_export_as_parquet_holds_the_same(folder, capsys):
    """Columns for whoever works with tables; bodies as their canonical text."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="in the lock: run scripts/setup")
    arguments = ("--format", "parquet", "--from", "2", "--to", "5")

    code, _, _ = ran(capsys, "audit", "export", "--out", "r.parquet", *arguments)

    assert code == 0
    rows = parquet.read_table(folder / "r.parquet").to_pylist()
    assert [row["number"] for row in rows if row["kind"] != "text"] == [2, 3, 4, 5]
    assert all(sha256(row["body"]) == row["hash"] for row in rows if row["kind"] == "text")
    assert ran(capsys, "audit", "export", "--format", "parquet")[0] == 2


@pytest.mark.io
def test_pruning_by_the_settings_leaves_a_record_that_verifies(folder, capsys):
    """Without a number of days nothing is removed; the entries here are seconds apart."""
    assert ran(capsys, "audit", "prune")[0] == 2
    code, out, _ = ran(capsys, "audit", "prune", "--set", "record.keep_days=1", "--json")

    assert (code, json.loads(out)["removed"]) == (0, 0)
    assert ran(capsys, "audit", "verify")[0] == 0


def test_there_is_no_record_before_the_first_run(tmp_path, monkeypatch, capsys):
    """Said in one line, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(SETTINGS)

    code, _, err = ran(capsys, "audit", "verify")

    assert code == 4
    assert "there is no journal" in err
    assert not (tmp_path / "keeper.sqlite").exists()


WARNED = "0x00000000000000000000000000000000000000A1"


@pytest.mark.io
def test_one_who_was_warned_and_never_decided_about_has_a_story(folder, capsys):
    """Most accounts that are called are cured in time; and a keeper may die before it decides."""
    body = {"change": "entered", "before": "watch", "tier": "call", "health_factor": str(10**18)}
    made = opened(folder / "keeper.sqlite")
    new = NewEntry(
        kind="episode",
        block_number=7,
        block_time=1_007,
        market="m:1",
        account=WARNED,
        body=canonical({**body, "guarded_health_factor": None}),
    )
    made.write_now(append, [new])
    made.close()

    code, out, _ = ran(capsys, "explain", WARNED, "--recorded")
    _, document, _ = ran(capsys, "explain", WARNED, "--recorded", "--json")
    early, _, said = ran(capsys, "explain", WARNED, "--recorded", "--block", "6")

    assert code == 0
    assert f"{WARNED} in m:1: nothing was decided about it" in out
    assert "entered call (from watch)" in out
    (story,) = json.loads(document)["stories"]
    assert (story["account"], story["decisions"], len(story["history"])) == (WARNED, [], 1)
    assert early == 2
    assert f"nothing about {WARNED} is on record up to block 6" in said


def test_figures_that_differ_are_shown_from_where_they_do():
    """A list of a hundred waits is longer than any screen."""
    head, tail = "a" * 500, "b" * 500

    recorded, now = replay.cut_alike(f"{head}7{tail}", f"{head}8{tail}")

    assert recorded == f"…{'a' * 30}7{'b' * 129}…"
    assert now == f"…{'a' * 30}8{'b' * 129}…"
    assert replay.cut_alike("7", "8") == ("7", "8")


@pytest.mark.slow
def test_who_owes_nothing_any_more_is_found_on_record_by_a_beginning(folder):
    """Who was liquidated is no debtor, and is who is asked about."""
    path = folder / "keeper.sqlite"

    assert on_record(path, "0x") == {"0x0", "0x1", "0x2"}
    assert on_record(path, "0x1") == {"0x1"}
    assert on_record(path, "0xffff") == set()
    assert on_record(folder / "none.sqlite", "0x") == set()
