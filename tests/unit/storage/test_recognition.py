"""C6: which file is a journal, and that nothing else is touched."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from keeper.book.file import BookFile
from keeper.domain.errors import JournalError
from keeper.sqlite_file import read_header
from keeper.storage.database import opened, reader
from keeper.storage.journal import Journal, sender_of
from keeper.storage.migrations import FOLDER
from keeper.storage.recognition import APPLICATION

STORED = Path(__file__).resolve().parents[2] / "data" / "journals"
SENDER = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"

WAYS = {
    "run": lambda path: Journal.open(path, chain_id=1, sender=SENDER),
    "run anew": lambda path: Journal.open(
        path, chain_id=1, sender=SENDER, chain_nonce=7, init=True
    ),
    "open": opened,
    "read": reader,
    "whose": sender_of,
}


def _database(path, script, *, wal=False):
    with closing(sqlite3.connect(path)) as made:
        if wal:
            made.execute("PRAGMA journal_mode = WAL")
        made.executescript(script)


def _unclean(path, script):
    """Leave a database in WAL mode as a killed process does: all of it is in its log."""
    made = sqlite3.connect(path.with_name("live"))
    made.execute("PRAGMA journal_mode = WAL")
    made.executescript(script)
    for end in ("", "-wal"):
        path.with_name(path.name + end).write_bytes(path.with_name("live" + end).read_bytes())
    made.close()
    path.with_name("live").unlink()


NOTES = "CREATE TABLE notes (text); INSERT INTO notes VALUES ('mine');"
FOREIGN = {
    "plain": lambda path: _database(path, NOTES),
    "wal": lambda path: _database(path, NOTES, wal=True),
    "wal with a log": lambda path: _unclean(path, NOTES),
    "application": lambda path: _database(path, "PRAGMA application_id = 77;"),
    "version": lambda path: _database(path, "PRAGMA user_version = 3;"),
    "same names": lambda path: _database(
        path,
        "CREATE TABLE alembic_version (version_num); CREATE TABLE identity (id, name);"
        " CREATE TABLE transactions (id, amount); CREATE TABLE attempts (id);",
    ),
    "some of the names": lambda path: _database(
        path, "CREATE TABLE alembic_version (version_num); CREATE TABLE messages (id);"
    ),
    "a book": lambda path: BookFile(path, 1).close(),
    "text": lambda path: path.write_text("a letter\n" * 99),
    "short": lambda path: path.write_text("x"),
}


def _state(folder):
    return {
        file.name: (file.read_bytes(), file.stat().st_mtime_ns, file.stat().st_mode)
        for file in folder.iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_c6_another_programs_file_is_refused_and_left_as_it_is(tmp_path, make, way):
    """No table, no lock, no log beside it: a mistyped path costs nobody anything."""
    path = tmp_path / "notes.db"
    make(path)
    before = _state(tmp_path)

    with pytest.raises(JournalError, match="not a journal: it was left as it is") as caught:
        way(path)

    assert caught.value.hint == "name another file: journal.path"
    assert _state(tmp_path) == before


def test_c6_a_journal_is_marked_from_its_first_page_on(tmp_path):
    """A process that is killed right then leaves a file that is known again."""
    path = tmp_path / "keeper.sqlite"
    made = opened(path)
    header = read_header(path)
    made.close()

    assert header.application == APPLICATION


@pytest.mark.io
@pytest.mark.parametrize("script", sorted(STORED.glob("*.sql")), ids=lambda one: one.stem)
@pytest.mark.parametrize("killed", [False, True])
def test_c6_a_journal_of_an_earlier_version_is_taken_over_and_marked(tmp_path, script, killed):
    """It has no mark: its tables say what it is, also where they are in its log only."""
    path = tmp_path / "keeper.sqlite"
    (_unclean if killed else _database)(path, script.read_text())
    assert read_header(path).application == 0
    assert sender_of(path) == SENDER

    Journal.open(path, chain_id=31337, sender=SENDER, chain_nonce=2).close()

    assert read_header(path).application == APPLICATION


@pytest.mark.slow
def test_c6_the_last_version_without_a_mark_is_taken_over(tmp_path):
    """Every journal that runs today is one."""
    path = tmp_path / "keeper.sqlite"
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
    engine.dispose()
    assert read_header(path).application == 0

    opened(path).close()

    assert read_header(path).application == APPLICATION


@pytest.mark.io
@pytest.mark.parametrize("content", [b"", None])
def test_c6_an_empty_file_becomes_a_journal(tmp_path, content):
    """Somebody made it for the keeper, or a process died before its first table."""
    path = tmp_path / "keeper.sqlite"
    if content is None:
        _database(path, "CREATE TABLE t (a); DROP TABLE t;", wal=True)
    else:
        path.write_bytes(content)

    Journal.open(path, chain_id=1, sender=SENDER).close()

    assert read_header(path).application == APPLICATION
