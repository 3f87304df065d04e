"""The record in a real file: whatever is done to its rows is found, and where."""

import contextlib
import shutil
import sqlite3

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine

from keeper.audit.canonical import Part, canonical, plain
from keeper.audit.chain import NewEntry
from keeper.storage import database, record
from keeper.storage.database import opened, read, reader
from keeper.storage.decisions import history
from keeper.storage.migrations import FOLDER
from keeper.storage.record import Scope, append, prune, verified

ENTRIES = 12
COLUMNS = ("id", "kind", "block_number", "block_time", "market", "account", "body", "hash")
FUZZ = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def entries(count, first=1):
    """Entries of some kinds, with texts of their own and one that all share."""
    texts = {}
    made = []
    for number in range(first, first + count):
        body = plain({"n": number, "own": Part([number]), "all": Part({"of": Part("all")})}, texts)
        about = {"market": "m:1", "account": f"0x{number % 3}"} if number % 2 else {}
        made.append(
            NewEntry(
                kind="decision" if number % 2 else "digest",
                block_number=number,
                block_time=1_000 + number,
                body=canonical(body),
                **about,
            )
        )
    return made, texts


def checked(path, **scope):
    engine = reader(path)
    try:
        return read(engine, lambda connection: verified(connection, Scope(**scope)))
    finally:
        engine.dispose()


def written(path, count=ENTRIES, first=1):
    made = opened(path)
    made.write_now(append, *entries(count, first))
    made.close()
    return path


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A record that nobody touched; the tests break copies of it."""
    return written(tmp_path_factory.mktemp("record") / "sound.sqlite")


@contextlib.contextmanager
def tampered(sound, tmp_path):
    """A copy of the file, with everything in it and not in a log beside it."""
    path = tmp_path / "tampered.sqlite"
    shutil.copy(sound, path)
    with contextlib.closing(sqlite3.connect(path)) as raw:
        yield path, raw
        raw.commit()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.slow
def test_a_record_that_nobody_touched_is_sound(sound):
    """Nothing is found where nothing was done; the head is what an operator notes."""
    found = checked(sound)

    assert (found.problem, found.entries, found.bad) == ("", ENTRIES, None)
    assert found.head.id == ENTRIES
    assert checked(sound, anchor=str(found.head)).problem == ""
    assert checked(sound, anchor=found.head.hash).problem == ""
    assert checked(sound, first=4, last=7).entries == 4


@pytest.mark.slow
@FUZZ
@given(
    st.tuples(st.integers(1, ENTRIES), st.sampled_from(COLUMNS)),
    st.integers(0),
    st.integers(1, 255),
)
@example((1, "id"), 0, 9)
@example((ENTRIES, "hash"), 63, 1)
@example((5, "body"), 9, 128)
def test_one_changed_byte_of_an_entry_is_found(sound, tmp_path, place, at, change):
    """Any byte of any column of any row; the row is named."""
    number, column = place
    with tampered(sound, tmp_path) as (path, raw):
        select = f"SELECT {column} FROM entries WHERE id = ?"  # noqa: S608 - our names
        old = raw.execute(select, (number,)).fetchone()[0]
        if isinstance(old, int):
            new = old + change
            if column == "id":  # no other row has that number
                new += ENTRIES
        else:
            whole = bytearray((old or "x").encode())
            whole[at % len(whole)] ^= change if old else 0
            new = None if whole == (old or "").encode() else bytes(whole)
            raw.text_factory = bytes
        cast = "?" if isinstance(new, int) else "CAST(? AS TEXT)"
        update = f"UPDATE entries SET {column} = {cast} WHERE id = ?"  # noqa: S608 - our names
        raw.execute(update, (new, number))

    found = checked(path)
    assert found.problem
    assert found.bad == number


@pytest.mark.slow
@FUZZ
@given(st.integers(1, ENTRIES))
def test_one_deleted_row_is_found(sound, tmp_path, number):
    """All but the last one, which only an anchor can miss."""
    anchor = str(checked(sound).head)
    with tampered(sound, tmp_path) as (path, raw):
        raw.execute("DELETE FROM entries WHERE id = ?", (number,))

    found = checked(path, anchor=anchor)
    assert found.problem
    assert found.bad == number
    if number < ENTRIES:
        assert checked(path).bad == number


@pytest.mark.slow
@FUZZ
@given(st.lists(st.integers(1, ENTRIES), min_size=2, max_size=2, unique=True), st.booleans())
def test_two_swapped_rows_are_found(sound, tmp_path, pair, whole):
    """Swapped with their hashes or without: the first of the two is named."""
    with tampered(sound, tmp_path) as (path, raw):
        one, other = pair
        columns = ", ".join(COLUMNS[1:] if whole else COLUMNS[1:-1])
        select = f"SELECT {columns} FROM entries WHERE id = ?"  # noqa: S608 - our names
        rows = {n: raw.execute(select, (n,)).fetchone() for n in pair}
        marks = ", ".join(f"{name} = ?" for name in columns.split(", "))
        update = f"UPDATE entries SET {marks} WHERE id = ?"  # noqa: S608 - our names
        raw.execute(update, (*rows[other], one))
        raw.execute(update, (*rows[one], other))

    assert checked(path).bad == min(pair)


@pytest.mark.slow
@FUZZ
@given(st.integers(0), st.integers(0), st.integers(1, 255))
def test_one_changed_byte_of_a_text_is_found(sound, tmp_path, row, at, change):
    """What entries refer to is covered by their hashes; the first entry that does is named."""
    with tampered(sound, tmp_path) as (path, raw):
        names = [name for (name,) in raw.execute("SELECT hash FROM texts ORDER BY hash")]
        name = names[row % len(names)]
        (text,) = raw.execute("SELECT text FROM texts WHERE hash = ?", (name,)).fetchone()
        whole = bytearray(text.encode())
        whole[at % len(whole)] ^= change
        changed = "UPDATE texts SET text = CAST(? AS TEXT) WHERE hash = ?"
        raw.execute(changed, (bytes(whole), name))

    found = checked(path)
    assert name in found.problem
    assert found.bad is not None


def test_a_text_that_is_missing_or_too_much_is_found(sound, tmp_path):
    """Also what an entry refers to through another text."""
    with tampered(sound, tmp_path) as (path, raw):
        raw.execute("DELETE FROM texts WHERE text = '\"all\"'")
    assert "missing" in checked(path).problem
    assert checked(path).bad == 1

    with tampered(sound, tmp_path) as (path, raw):
        raw.execute("INSERT INTO texts VALUES ('" + "0" * 64 + "', 'x')")
    assert "changed" in checked(path).problem


@pytest.mark.slow
@FUZZ
@given(st.integers(0), st.integers(1, 255))
def test_one_flipped_byte_of_the_file_is_found(sound, tmp_path, place, change):
    """On the disk itself, somewhere in what is stored of an entry: verified, or no database."""
    path = tmp_path / "flipped.sqlite"
    with contextlib.closing(sqlite3.connect(sound)) as raw:
        stored = [
            text.encode() for row in raw.execute("SELECT body, hash FROM entries") for text in row
        ]
    file = bytearray(sound.read_bytes())
    wanted = stored[place % len(stored)]
    at = file.index(wanted) + place % len(wanted)
    file[at] ^= change
    path.write_bytes(file)

    assert checked(path).problem


def test_the_end_can_only_be_cut_off_unseen_without_an_anchor(sound, tmp_path):
    """What a hash chain cannot tell by itself, and a noted hash can."""
    anchor = checked(sound).head
    with tampered(sound, tmp_path) as (path, raw):
        raw.execute("DELETE FROM entries WHERE id > ?", (ENTRIES - 4,))
        raw.execute("DELETE FROM texts WHERE text IN ('[\"9\"]','[\"10\"]','[\"11\"]','[\"12\"]')")

    assert checked(path).problem == ""
    cut = checked(path, anchor=str(anchor))
    assert "cut off" in cut.problem
    assert cut.bad == ENTRIES - 3
    assert "cut off" in checked(path, anchor=anchor.hash).problem


@pytest.mark.slow
def test_a_record_written_anew_does_not_hold_the_anchor(sound, tmp_path):
    """Whoever can write can make every hash anew; not the one that was noted elsewhere."""
    anchor = checked(sound).head
    path = written(tmp_path / "anew.sqlite", ENTRIES, first=2)

    assert checked(path).problem == ""
    assert "written anew" in checked(path, anchor=str(anchor)).problem


@pytest.mark.slow
@settings(FUZZ, max_examples=12)
@given(st.integers(1_000, 1_000 + ENTRIES), st.integers(1_000, 1_000 + 2 * ENTRIES))
@example(1_005, 1_009)
@example(1_000, 1_024)
def test_what_is_left_after_pruning_is_verifiable(sound, tmp_path, before, later):
    """Once, and again later; what was cut is vouched for, what is missing otherwise is found."""
    path = tmp_path / "pruned.sqlite"
    shutil.copy(sound, path)
    path.chmod(0o600)
    made = opened(path)
    made.write_now(prune, before)
    made.write_now(append, *entries(ENTRIES, ENTRIES + 1))
    made.write_now(prune, later)
    made.close()

    found = checked(path)
    assert found.problem == ""
    assert found.entries == found.head.id - found.after.id
    assert found.after.id >= max(before - 1_001, 0)
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("DELETE FROM entries WHERE id = (SELECT min(id) FROM entries)")
        raw.commit()
    assert checked(path).bad == found.after.id + 1


@pytest.mark.slow
def test_pruning_keeps_what_the_rest_refers_to(tmp_path):
    """The texts of what is left are there, those of what went are gone; the voucher counts too."""
    path = written(tmp_path / "record.sqlite")
    made = opened(path)
    assert made.write_now(prune, 1_009) == 8
    made.close()

    with contextlib.closing(sqlite3.connect(path)) as raw:
        texts = {text for (text,) in raw.execute("SELECT text FROM texts")}
    assert '["8"]' not in texts
    assert '["9"]' in texts
    assert '"all"' in texts
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute(
            "UPDATE entries SET body = replace(body, ':\"8\"', ':\"7\"') WHERE kind='pruned'"
        )
        raw.commit()
    assert checked(path).bad == ENTRIES + 1


@pytest.mark.slow
def test_an_anchor_that_was_pruned_is_told_from_one_that_was_cut_off(tmp_path):
    """The operator should take a newer one."""
    path = written(tmp_path / "record.sqlite")
    old = checked(path, last=3).head
    made = opened(path)
    made.write_now(prune, 1_009)
    made.close()

    assert "was pruned" in checked(path, anchor=str(old)).problem


@pytest.mark.slow
def test_decisions_of_before_the_record_are_its_beginning(tmp_path):
    """A journal of the version before keeps its history; from now on nobody can change it."""
    path = tmp_path / "old.sqlite"
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.exec_driver_sql(
            "INSERT INTO decisions VALUES"
            " (1, 7, '0xb7', 'm:1', '0xa', 'skip', 'dust', 'small', '-5', -3, '9', '{}'),"
            " (2, 8, '0xb8', 'm:1', '0xa', 'liquidate', 'profitable', '', '6', 3, NULL, '{}')"
        )
    engine.dispose()
    path.chmod(0o600)

    opened(path).close()

    old = reader(path)
    past = database.read(old, lambda connection: history(connection, "0xa"))
    old.dispose()
    assert [(one.block_number, one.action, one.net_profit) for one in past] == [
        (7, "skip", -5),
        (8, "liquidate", 6),
    ]
    assert [one.health_factor for one in past] == [9, None]
    assert checked(path).entries == 2


@pytest.mark.slow
def test_the_chain_goes_on_where_another_process_left_it(tmp_path):
    """Nothing is kept in memory: the next run appends to what the file holds."""
    path = written(written(tmp_path / "record.sqlite"), ENTRIES, first=ENTRIES + 1)

    assert checked(path).entries == 2 * ENTRIES
    assert record.START.id == 0
