"""F40: what waits for the disk must not stop the loop that hears of blocks."""

import asyncio
import sqlite3

from keeper.storage.journal import Journal
from tests.support.scripted_submission import World, batch, head, plan, unhealthy

BEATS = 5


async def test_f40_a_commit_that_waits_for_the_disk_leaves_the_loop_free(tmp_path):
    """Another writer holds the file: sends wait for their commit, and the heart goes on beating."""
    path = tmp_path / "j.sqlite"
    world = World()
    world.journal = Journal.open(path, chain_id=31337, sender=world.submitter.signer.address)
    world.submitter = world.restarted()
    await world.submitter.reconcile(head(10))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    beats = 0

    async def beat():
        nonlocal beats
        while beats < BEATS:
            await asyncio.sleep(0.01)
            beats += 1
        other.execute("ROLLBACK")

    heart = asyncio.create_task(beat())
    await world.submitter.submit([batch(plan(0)), batch(plan(1))], head(10))
    sent_after = beats
    await heart
    await world.submitter.follow(head(11), unhealthy)
    other.close()
    world.journal.close()

    assert sent_after == BEATS
    assert len(world.node.sent) == 4
