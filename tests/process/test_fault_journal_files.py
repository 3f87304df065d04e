"""C5, C7: files of the journal change under a running keeper: nothing more is signed or sent."""

import os

import pytest

from keeper.domain.errors import JournalError, NotBroadcast
from keeper.storage.journal import Journal
from tests.support.scripted_submission import World, batch, head, plan, unhealthy


def _lock_gone(path):
    path.with_name(path.name + ".lock").unlink()


def _cut(path):
    os.truncate(path, 0)


def _written_over(path):
    path.write_bytes(bytes(path.stat().st_size))


def _log_cut(path):
    os.truncate(path.with_name(path.name + "-wal"), 0)


def _log_gone(path):
    path.with_name(path.name + "-wal").unlink()


@pytest.mark.parametrize("change", [_lock_gone, _cut, _written_over, _log_cut, _log_gone])
async def test_c5_c7_a_journal_that_is_not_whole_any_more_lets_nothing_new_out(tmp_path, change):
    """What was signed before goes out again, the same bytes: they are in a mempool anyway."""
    path = tmp_path / "j.sqlite"
    world = World()
    world.journal = Journal.open(path, chain_id=31337, sender=world.submitter.signer.address)
    world.submitter = world.restarted()
    await world.submitter.reconcile(head(10))
    await world.submitter.submit([batch(plan(0))], head(10))
    signed = set(world.node.sent)
    change(path)

    for number in range(11, 15):
        with pytest.raises((JournalError, NotBroadcast), match=r"was (cut|written|removed)|gone"):
            await world.submitter.submit([batch(plan(number))], head(number))
        await world.submitter.follow(head(number), unhealthy)
        assert world.submitter.fault
    world.journal.close()

    assert set(world.node.sent) == signed
