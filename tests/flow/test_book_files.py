"""C3, C6 of the kept book: other programs' files, files of others, and who may read it."""

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from keeper.book.file import BookFile, NotUsable
from keeper.book.origins import kept_origins
from keeper.book.visiting import VisitedFile
from keeper.sqlite_file import read_header
from keeper.storage.database import opened

CHAIN_ID = 31337
STRANGER = 65_534
WAL = "PRAGMA journal_mode = WAL; "


def _made(path, script):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


FOREIGN = {
    "plain": lambda path: _made(path, "CREATE TABLE precious (what TEXT);"),
    "wal": lambda path: _made(path, f"{WAL} CREATE TABLE precious (what TEXT);"),
    "application": lambda path: _made(path, f"{WAL} PRAGMA application_id = 9;"),
    "a journal": lambda path: opened(path).close(),
}
WAYS = {
    "run": lambda path: BookFile(path, CHAIN_ID),
    "write": lambda path: BookFile(path, CHAIN_ID, visit=True),
    "read": lambda path: _unused(VisitedFile(path, CHAIN_ID)),
    "origins": lambda path: _refused(kept_origins(path, CHAIN_ID)),
}


def _unused(file):
    file.kept()
    raise NotUsable(file.unused)


def _refused(origins):
    assert origins == {}
    raise NotUsable("another program")


def _state(folder):
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_c6_nothing_is_made_beside_another_programs_database(tmp_path, make, way):
    """SQLite alone would make its log there, and the keeper its lock."""
    path = tmp_path / "book.sqlite"
    make(path)
    before = _state(tmp_path)

    with pytest.raises(NotUsable, match="another program"):
        way(path)

    assert _state(tmp_path) == before


def test_c6_a_book_is_marked_from_its_first_page_on(tmp_path):
    """Also where its tables are still in its log only."""
    path = tmp_path / "book.sqlite"
    book = BookFile(path, CHAIN_ID)
    header = read_header(path)
    book.close()

    assert header.application == 0x6B626F6B
    BookFile(path, CHAIN_ID).close()


def test_c3_a_book_is_private_whatever_the_process_allows(tmp_path):
    """It says whose accounts the keeper watches; a readable one is closed."""
    path = tmp_path / "book.sqlite"
    before = os.umask(0)
    try:
        book = BookFile(path, CHAIN_ID)
        modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        book.close()
    finally:
        os.umask(before)
    path.chmod(0o644)
    BookFile(path, CHAIN_ID).close()

    assert modes == {0o600}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602])
def test_c3_a_book_that_others_could_change_is_not_believed(tmp_path, mode):
    """It is read anew from the chain; a forged one would hide borrowers."""
    path = tmp_path / "book.sqlite"
    BookFile(path, CHAIN_ID).close()
    path.chmod(mode)

    with pytest.raises(NotUsable, match="other users could change it"):
        BookFile(path, CHAIN_ID, visit=True)
    book = BookFile(path, CHAIN_ID)
    book.close()

    assert "other users could change it" in book.said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal", ".lock"])
def test_c3_a_strangers_file_is_not_taken_for_the_book(tmp_path, end):
    """In a folder like /tmp anybody may make it first."""
    path = tmp_path / "book.sqlite"
    file = tmp_path / f"book.sqlite{end}"
    file.touch(mode=0o600)
    os.chown(file, STRANGER, STRANGER)

    with pytest.raises(NotUsable, match=f"user {STRANGER}"):
        BookFile(path, CHAIN_ID)


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal", ".lock"])
def test_c3_a_link_is_not_taken_for_the_books_log(tmp_path, end):
    """SQLite would write where it leads."""
    target = tmp_path / "target"
    target.touch()
    (tmp_path / f"book.sqlite{end}").symlink_to(target)

    with pytest.raises(NotUsable):
        BookFile(tmp_path / "book.sqlite", CHAIN_ID)
    assert target.read_bytes() == b""
