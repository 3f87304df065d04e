"""How old a keeper's file is, whichever version wrote it."""

import contextlib
import sqlite3

import pytest

from keeper.audit.chain import NewEntry
from keeper.margin.state import MarginState
from keeper.storage import database, episodes
from keeper.storage.pulse import Pulse, pulse
from keeper.storage.record import append
from tests.unit.storage.test_upgrades import STORED, restored

STATE = MarginState(number=7, hash="0x7", timestamp=1_700_000_000)


@pytest.fixture
def file(tmp_path):
    opened = database.opened(tmp_path / "keeper.sqlite")
    yield opened
    opened.close()


def entry(block, at):
    return NewEntry(kind="digest", block_number=block, block_time=at, body="{}")


@pytest.mark.slow
def test_an_empty_file_has_no_block(file):
    """It says so instead of block 0."""
    assert file.write_now(pulse) is None


@pytest.mark.slow
def test_the_newest_block_has_the_time_at_which_this_machine_kept_it(file):
    """The chain's clock may be another; an acknowledgement later does not make it younger."""
    file.write_now(episodes.keep_rest, STATE, 1_700_000_003)
    file.write_now(episodes.keep_rest, STATE)

    assert file.write_now(pulse) == Pulse(number=7, timestamp=1_700_000_000, seen_at=1_700_000_003)


@pytest.mark.slow
def test_the_record_counts_where_it_is_newer(file):
    """Decisions go on record also where margin calls have not kept the block yet."""
    file.write_now(episodes.keep_rest, STATE, 5)
    file.write_now(append, [entry(8, 1_700_000_012), entry(3, 0)])

    assert file.write_now(pulse) == Pulse(number=8, timestamp=1_700_000_012, seen_at=None)


@pytest.mark.slow
def test_a_file_that_an_earlier_version_wrote_is_read_as_it_is(file, tmp_path):
    """A command beside a keeper does not migrate, and must not fail."""
    file.write_now(episodes.keep_rest, STATE, 5)
    with contextlib.closing(sqlite3.connect(tmp_path / "keeper.sqlite")) as raw:
        raw.execute("ALTER TABLE margin_state DROP COLUMN seen_at")
        raw.commit()

    assert file.write_now(pulse) == Pulse(number=7, timestamp=1_700_000_000, seen_at=None)


@pytest.mark.parametrize("revision", ["0001", "0004"])
def test_a_file_without_the_tables_has_no_block(tmp_path, revision):
    """They came later."""
    path = restored(STORED / f"r{revision}.sql", tmp_path)

    database.read(database.reader(path), pulse)
