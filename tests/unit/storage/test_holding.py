"""The journal's files while a keeper runs: removed, cut, written over, or by strangers."""

import os
import shutil
import socket
import sqlite3
from contextlib import closing

import pytest

from keeper.domain.breaker import Breaker
from keeper.domain.errors import JournalError
from keeper.storage import lock
from keeper.storage.holding import HeldFile
from keeper.storage.journal import Journal

SENDER = "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1"
STRANGER = 65_534


@pytest.fixture
def path(tmp_path):
    """Where the journal is, in a folder of its own."""
    folder = tmp_path / "keeper"
    folder.mkdir(mode=0o700)
    return folder / "keeper.sqlite"


@pytest.fixture
def journal(path):
    """A journal that a keeper has, with something in it."""
    opened = Journal.open(path, chain_id=1, sender=SENDER)
    yield opened
    opened.close()


def beside(path, end):
    """Return the file of the same name with an ending."""
    return path.with_name(path.name + end)


def refuse_second(path):
    """Fail unless another keeper is refused."""
    with pytest.raises(JournalError, match="in use by"):
        Journal.open(path, chain_id=1, sender=SENDER)


def _remove(lock):
    lock.unlink()


def _replace(lock):
    fresh = lock.with_name("fresh")
    fresh.touch(mode=0o600)
    fresh.replace(lock)


def _link(lock):
    lock.rename(lock.with_name("away"))
    lock.symlink_to("away")


@pytest.mark.io
@pytest.mark.parametrize("change", [_remove, _replace, _link])
async def test_c5_without_its_lock_a_keeper_signs_no_more_and_no_second_one_starts(
    journal, path, change
):
    """The file is only one of three locks; whoever loses it cannot know who has the new one."""
    await journal.probe()
    change(beside(path, ".lock"))

    with pytest.raises(JournalError, match=r"in use by|cannot open"):
        Journal.open(path, chain_id=1, sender=SENDER)
    with pytest.raises(JournalError, match=r"the lock .* was removed or replaced") as caught:
        await journal.probe()
    assert "nothing is signed any more" in caught.value.hint
    assert journal.database.failing


@pytest.mark.io
@pytest.mark.parametrize("how", ["hard link", "rename", "folder", "link"])
async def test_c5_a_journal_under_another_name_is_the_same_one(journal, path, how, tmp_path):
    """The file itself is locked, so that neither a link nor a new name is a way round."""
    other = tmp_path / "other" / "j.sqlite"
    other.parent.mkdir()
    if how == "hard link":
        os.link(path, other)
    elif how == "rename":
        path.rename(other)
    elif how == "folder":
        path.parent.rename(tmp_path / "moved")
        other = tmp_path / "moved" / path.name
        beside(other, ".lock").unlink()
    else:
        other.symlink_to(path)
        beside(path, ".lock").unlink()

    refuse_second(other)
    if how != "hard link":
        with pytest.raises(JournalError, match=r"gone|removed"):
            await journal.probe()


@pytest.mark.io
@pytest.mark.parametrize("lock", ["stays", "goes"])
async def test_c5_a_copy_in_its_place_starts_no_second_keeper(journal, path, lock):
    """Both files can be replaced; the name that the first one has cannot."""
    copy = path.with_name("copy")
    shutil.copyfile(path, copy)
    copy.replace(path)
    if lock == "goes":
        beside(path, ".lock").unlink()

    refuse_second(path)
    with pytest.raises(JournalError, match=r"is gone, or another|was removed or replaced"):
        await journal.probe()


@pytest.mark.io
async def test_c5_all_locks_end_with_the_keeper(journal, path):
    """A crash or an end leaves nothing that somebody has to remove."""
    journal.close()

    Journal.open(path, chain_id=1, sender=SENDER).close()


def _cut(file):
    os.truncate(file, 0)


def _halve(file):
    os.truncate(file, file.stat().st_size // 2)


def _zeros(file):
    file.write_bytes(bytes(file.stat().st_size))


def _longer(file):
    with file.open("ab") as opened:
        opened.write(bytes(4_096))


def _last_byte(file):
    with file.open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        opened.write(b"\x55")


CHANGES = [_cut, _halve, _zeros, _longer, _last_byte]


@pytest.mark.io
@pytest.mark.parametrize("end", ["", "-wal"])
@pytest.mark.parametrize("change", CHANGES)
async def test_c7_a_file_that_is_cut_or_written_over_ends_signing(journal, path, end, change):
    """SQLite goes on from what it remembers: the commits that follow would be in no file."""
    await journal.probe()
    change(beside(path, end))

    for _ in range(2):
        with pytest.raises(JournalError, match=r"was (cut short|written)") as caught:
            await journal.probe()
    assert "nothing is signed any more" in caught.value.hint
    assert journal.database.failing


@pytest.mark.io
async def test_c7_what_was_cut_is_not_trusted_when_it_is_whole_again(journal, path):
    """What was committed meanwhile, or was cut off, is nobody's guess."""
    whole = path.read_bytes()
    os.truncate(path, 100)
    with pytest.raises(JournalError, match="cut short"):
        await journal.probe()
    path.write_bytes(whole)

    with pytest.raises(JournalError, match="cut short"):
        await journal.probe()


@pytest.mark.io
async def test_c7_an_older_copy_over_the_file_ends_signing(journal, path):
    """It is a sound journal of this key, and knows nothing of the last nonces."""
    old = path.with_name("old")
    shutil.copyfile(path, old)
    await journal.close_breaker(Breaker.PAUSED, "test", forgive=True)
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA wal_checkpoint(PASSIVE)")
    with pytest.raises(JournalError, match="written to"):
        await journal.probe()
    shutil.copyfile(old, path)

    with pytest.raises(JournalError, match="written to"):
        await journal.probe()


@pytest.mark.io
@pytest.mark.parametrize("end", ["-wal", "-shm"])
async def test_c7_a_log_that_is_removed_ends_signing(journal, path, end):
    """Commits into a file without a name are lost with the process."""
    await journal.probe()
    beside(path, end).unlink()

    with pytest.raises(JournalError, match=r"is gone, or another one is in its place"):
        await journal.probe()


@pytest.mark.io
async def test_what_the_keeper_writes_itself_is_no_change(journal, path):
    """Its own checkpoints change the file's size and time."""
    for number in range(1_200):
        await journal.record_control("test", "x" * 4_000, str(number))

    assert path.stat().st_size > 1_000_000
    assert not journal.database.failing


@pytest.mark.io
async def test_another_writer_through_sqlite_is_no_damage(journal, path):
    """Whoever does that knows what the file is; nothing of it is lost."""
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("INSERT INTO control_actions (at, action, argument, result) VALUES (1,2,3,4)")

    await journal.probe()
    await journal.probe()


@pytest.mark.io
async def test_a_transaction_that_fails_is_no_damage(journal):
    """What it wrote before it failed was rolled back."""

    def work(connection):
        connection.exec_driver_sql("UPDATE identity SET created_at = 'x'")
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(JournalError, match="no such table"):
        await journal.database.write(work)

    await journal.probe()


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


@pytest.mark.io
@as_root
@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal", ".lock"])
def test_c5_a_strangers_file_is_not_taken_for_the_keepers(path, end):
    """In a folder like /tmp anybody may make it first: a log of theirs would be played back."""
    path.parent.chmod(0o1777)
    file = beside(path, end)
    file.touch(mode=0o600)
    os.chown(file, STRANGER, STRANGER)

    with pytest.raises(JournalError, match=f"user {STRANGER}"):
        Journal.open(path, chain_id=1, sender=SENDER)


@pytest.mark.io
@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal", ".lock"])
def test_c5_a_link_is_not_taken_for_the_keepers(path, tmp_path, end):
    """It would lead SQLite to write where the link says."""
    target = tmp_path / "target"
    target.touch()
    beside(path, end).symlink_to(target)

    with pytest.raises(JournalError, match=r"is a link|cannot open"):
        Journal.open(path, chain_id=1, sender=SENDER)
    assert target.read_bytes() == b""


@pytest.mark.parametrize("end", ["", ".lock"])
def test_c5_a_pipe_is_no_journal(path, end):
    """Reading one would wait for ever."""
    os.mkfifo(beside(path, end), 0o600)

    with pytest.raises(JournalError, match=r"no SQLite database|no file"):
        Journal.open(path, chain_id=1, sender=SENDER)


@pytest.mark.io
@pytest.mark.parametrize("above", [False, True])
def test_c5_a_folder_of_everybodys_is_refused(path, above):
    """Anybody could put another journal, lock or socket there."""
    folder = path.parent.parent if above else path.parent
    folder.chmod(0o777)

    with pytest.raises(JournalError, match="other users may write to its folder") as caught:
        Journal.open(path, chain_id=1, sender=SENDER)
    assert caught.value.hint == f"chmod go-w {folder}"


@pytest.mark.io
def test_c5_a_name_that_a_stranger_took_stops_nobody(path, monkeypatch):
    """The files are locked all the same; a stranger cannot keep a keeper from its work."""
    name = _name_of(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as taken:
        taken.bind(name)  # and does not listen: nobody says whose it is
        Journal.open(path, chain_id=1, sender=SENDER).close()


def _name_of(path):
    with pytest.MonkeyPatch.context() as patch:
        names = []
        real = socket.socket.bind
        patch.setattr(
            socket.socket, "bind", lambda self, name: (names.append(name), real(self, name))
        )
        Journal.open(path, chain_id=1, sender=SENDER).close()
    return names[0]


def _without_name(patch):
    patch.setattr(lock, "_take_name", lambda _: -1)


def _without_claim(patch):
    patch.setattr(HeldFile, "claim", lambda _: None)


def _without_file(patch):
    patch.setattr(lock.SigningLock, "_lock", lambda *_: None)


@pytest.mark.io
@pytest.mark.parametrize(
    "others",
    [
        (_without_name, _without_claim),
        (_without_name, _without_file),
        (_without_claim, _without_file),
    ],
    ids=["lock's file alone", "journal's file alone", "name alone"],
)
def test_f22_each_lock_alone_refuses_a_second_keeper(path, others, monkeypatch):
    """None leans on another: where a system lacks one, two are left."""
    for without in others:
        without(monkeypatch)
    first = Journal.open(path, chain_id=1, sender=SENDER)
    try:
        refuse_second(path)
    finally:
        first.close()
