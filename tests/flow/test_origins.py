"""Where a market begins is kept beside its book, and harms no file."""

import sqlite3

import pytest

from keeper.book.file import BookFile
from keeper.book.kept import KeptOrigin
from keeper.book.origins import keep_origin, kept_origins

CHAIN_ID = 31337
ORIGIN = KeptOrigin(number=7, hash="0x07")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keeper.book.sqlite"


def test_an_origin_is_kept_before_there_is_a_book(path):
    """And after one: each market's own."""
    keep_origin(path, CHAIN_ID, "a:1", ORIGIN)
    keep_origin(path, CHAIN_ID, "a:2", KeptOrigin(number=9, hash="0x09"))

    assert kept_origins(path, CHAIN_ID) == {
        "a:1": ORIGIN,
        "a:2": KeptOrigin(number=9, hash="0x09"),
    }
    assert kept_origins(path, CHAIN_ID + 1) == {}


def test_a_keeper_that_runs_keeps_its_file(path):
    """What was found is found again after it."""
    keeper = BookFile(path, CHAIN_ID)
    keep_origin(path, CHAIN_ID, "a:1", ORIGIN)
    keeper.close()

    assert kept_origins(path, CHAIN_ID) == {}


@pytest.mark.parametrize("harm", ["damaged", "other program", "other chain"])
def test_a_file_that_cannot_be_used_is_left_where_it_is(path, harm):
    """Whoever reads the book says what is wrong with it, and decides."""
    if harm == "damaged":
        path.write_bytes(b"no database" * 1_000)
    elif harm == "other chain":
        BookFile(path, CHAIN_ID + 1).close()
    else:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE precious (what TEXT)")
        connection.close()
    before = path.read_bytes()

    keep_origin(path, CHAIN_ID, "a:1", ORIGIN)

    assert path.read_bytes() == before
    assert list(path.parent.glob("*.old")) == []
    assert kept_origins(path, CHAIN_ID) == {}


@pytest.mark.parametrize("path", [None, "folder/that/is/not/there.sqlite"])
def test_nothing_is_kept_where_there_is_no_place(path, tmp_path):
    """It is looked for each time."""
    place = None if path is None else tmp_path / path
    keep_origin(place, CHAIN_ID, "a:1", ORIGIN)

    assert kept_origins(place, CHAIN_ID) == {}
    assert list(tmp_path.iterdir()) == []
