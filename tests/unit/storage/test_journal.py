import os
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from keeper.domain.errors import JournalError
from keeper.domain.submission import (
    Attempt,
    AttemptKind,
    AttemptState,
    Fees,
    Inclusion,
    NonceState,
    PlanOutcome,
    Submission,
)
from keeper.execution.control import socket_path
from keeper.margin.facts import BlockFacts
from keeper.storage import acted, database, submissions
from keeper.storage.database import opened
from keeper.storage.journal import Journal
from keeper.storage.schema import metadata
from tests.support.scripted_submission import batch, plan

SENDER = "0x00000000000000000000000000000000000000AA"


def attempt(nonce=0, kind=AttemptKind.SEND, fee=10):
    return Attempt(
        nonce=nonce,
        kind=kind,
        hash=f"0x{nonce:032x}{fee:032x}",
        raw=bytes([nonce, fee]),
        fees=Fees(max_fee=2**200 + fee, priority_fee=fee),
        gas_limit=1_000_000,
        to=SENDER,
        calldata=b"\xab",
        block_number=7,
    )


def submission(nonce=0, *plans):
    return Submission(nonce=nonce, batch=batch(*plans), attempts=(attempt(nonce),))


def inclusion(**changes):
    made = Inclusion(
        hash=attempt().hash,
        block_number=8,
        block_hash="0xbb",
        success=True,
        gas_used=400_000,
        effective_gas_price=11,
        plans=(PlanOutcome(market="m", account="a", token="t", profit=2**250, profit_wei=2**249),),
    )
    return replace(made, **changes)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keeper.sqlite"


@pytest.fixture
def journal(path):
    made = Journal.open(path, chain_id=1, sender=SENDER)
    yield made
    made.close()


@pytest.mark.io
async def test_what_was_recorded_but_never_sent_is_there_after_a_restart(path):
    """A crash between record and send: the bytes can be sent by the next process, to the byte."""
    first = Journal.open(path, chain_id=1, sender=SENDER)
    bound = [submission(0, plan(0), plan(1)), submission(1, plan(2))]
    await first.record(bound)
    first.close()

    second = Journal.open(path, chain_id=1, sender=SENDER, chain_nonce=0)
    found = await second.open_submissions()
    second.close()

    assert found == bound
    assert found[0].newest.state is AttemptState.RECORDED


@pytest.mark.io
def test_a_commit_survives_a_process_that_is_killed(path):
    """The write is on the disk when the call returns, not when the journal is closed."""
    script = (
        "import asyncio, os, pathlib, sys\n"
        "from keeper.storage.journal import Journal\n"
        "async def main():\n"
        "    journal = Journal.open(pathlib.Path(sys.argv[1]), chain_id=1, sender='0xAA')\n"
        "    await journal.record_control('pause', '', 'ok')\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )

    process = subprocess.run([sys.executable, "-c", script, str(path)], check=False)

    assert process.returncode == -9
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT action FROM control_actions").fetchall() == [("pause",)]
    raw.close()
    Journal.open(path, chain_id=1, sender="0xAA").close()


@pytest.mark.io
async def test_what_a_block_said_of_those_acted_on_is_kept_with_the_nonces_or_not_at_all(journal):
    """One transaction: a crash after a send finds both, one before it neither."""
    facts = BlockFacts(number=7, hash="0x7", timestamp=84, wall=90)
    await journal.record([submission(0)], acted.news_of(facts))
    with pytest.raises(JournalError):
        await journal.record([submission(0)], acted.news_of(replace(facts, hash="0x8")))

    assert await journal.database.write(acted.kept) == [facts]
    await journal.database.write(acted.forget, "0x7")
    assert await journal.database.write(acted.kept) == []


@pytest.mark.io
async def test_attempts_outcomes_and_reorgs_are_kept(journal):
    """The nonce goes from bound to included, back, and to final; every attempt stays."""
    await journal.record([submission(0)])
    await journal.add_attempt(attempt(kind=AttemptKind.BUMP, fee=12))
    await journal.mark_sent([replace(attempt(fee=12), state=AttemptState.SENT)], ["accepted"])
    await journal.include(0, inclusion())
    included = (await journal.open_submissions())[0]
    await journal.reopen(0)
    reopened = (await journal.open_submissions())[0]
    await journal.include(0, inclusion(block_number=9))
    await journal.finalise(0)

    assert [one.state for one in included.attempts] == [AttemptState.RECORDED, AttemptState.SENT]
    assert (included.state, included.inclusion) == (NonceState.INCLUDED, inclusion())
    assert (reopened.state, reopened.inclusion) == (NonceState.BOUND, None)
    assert await journal.open_submissions() == []
    assert await journal.high_water() == 0


@pytest.mark.io
async def test_a_nonce_is_never_bound_twice(journal):
    """The second record fails as a whole, and nothing of it is kept."""
    await journal.record([submission(0)])

    with pytest.raises(JournalError):
        await journal.record(
            [submission(1, plan(1)), replace(submission(0), attempts=(attempt(0, fee=11),))]
        )

    assert await journal.high_water() == 0


@pytest.mark.io
async def test_the_high_water_is_what_the_file_holds_even_after_a_failed_record(journal):
    """The next nonce follows from it; it is remembered, but never past an end that was not seen."""
    assert await journal.high_water() is None
    await journal.record([submission(4)])
    assert await journal.high_water() == 4

    with pytest.raises(JournalError):
        await journal.record([submission(5, plan(1)), submission(4, plan(2))])
    assert await journal.high_water() == 4

    await journal.record([submission(5, plan(1))])
    assert await journal.high_water() == 5


def intents_in(path):
    with sqlite3.connect(path) as raw:
        rows = raw.execute("SELECT round, state FROM intents ORDER BY id").fetchall()
    raw.close()
    return rows


@pytest.mark.io
async def test_a_round_rises_only_after_the_one_before_was_included(journal, path):
    """The same account again is another intent; while one is open there is no other."""
    await journal.record([submission(0, plan(0))])
    with pytest.raises(JournalError, match="no block consumed yet"):
        await journal.record([submission(1, plan(0))])
    await journal.include(0, inclusion())
    await journal.record([submission(1, plan(0))])

    assert intents_in(path) == [(0, "included"), (1, "bound")]


@pytest.mark.io
async def test_a_released_nonce_frees_its_intents_and_keeps_its_bytes(journal, path):
    """Nobody has them: the account may be bound anew, and they are still known for ours."""
    await journal.record([submission()])
    with pytest.raises(JournalError, match="no block consumed yet"):
        await journal.record([submission(1)])
    await journal.release(attempt(0, AttemptKind.CANCEL, fee=11))
    await journal.record([submission(1)])
    await journal.include(0, inclusion(hash=attempt(0, fee=11).hash, plans=()))
    found = await journal.open_submissions()

    assert [one.is_released for one in found] == [True, False]
    assert [one.state for one in found[0].attempts] == [
        AttemptState.RELEASED,
        AttemptState.RECORDED,
    ]
    assert [len(one.accounts) for one in found] == [0, 1]
    with pytest.raises(JournalError, match="no block consumed yet"):
        await journal.record([submission(2)])


@pytest.mark.io
async def test_a_reorg_opens_the_intent_again(journal, path):
    """The account has an open intent, as it had before the block that is gone."""
    await journal.record([submission(0, plan(0))])
    await journal.include(0, inclusion())
    await journal.reopen(0)

    assert intents_in(path) == [(0, "bound")]
    with pytest.raises(JournalError, match="no block consumed yet"):
        await journal.record([submission(1, plan(0))])


@pytest.mark.io
async def test_a_final_intent_says_so(journal, path):
    """What the tables say of an intent follows its nonce."""
    await journal.record([submission(0, plan(0))])
    await journal.include(0, inclusion())
    await journal.finalise(0)

    assert intents_in(path) == [(0, "final")]


@pytest.mark.io
def test_the_files_are_for_the_owner_only(journal, path):
    """The journal says what the keeper is about to do."""
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name


@pytest.mark.io
def test_f22_a_second_process_is_refused_and_told_which_has_it(journal, path):
    """Two processes with one key overwrite each other's nonces."""
    with pytest.raises(JournalError, match=f"in use by process {os.getpid()}"):
        Journal.open(path, chain_id=1, sender=SENDER)


@pytest.mark.io
def test_a_link_to_a_journal_has_the_same_lock(journal, path, tmp_path):
    """Two names of one file are one journal."""
    link = tmp_path / "other" / "linked.sqlite"
    link.parent.mkdir()
    link.symlink_to(path)

    with pytest.raises(JournalError, match="in use by process"):
        Journal.open(link, chain_id=1, sender=SENDER)
    assert socket_path(link) == socket_path(path)


def test_a_lock_that_leads_elsewhere_is_not_followed(path, tmp_path):
    """Whoever may write to the folder could have a file of the operator's emptied, or lock none."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("somebody's words\n")
    elsewhere.chmod(0o640)
    path.with_name(path.name + ".lock").symlink_to(elsewhere)

    with pytest.raises(JournalError, match=r"cannot open .*keeper\.sqlite\.lock"):
        Journal.open(path, chain_id=1, sender=SENDER)

    assert elsewhere.read_text() == "somebody's words\n"
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o640


@pytest.mark.io
def test_a_journal_that_was_never_finished_is_a_missing_one(path):
    """Killed between the tables and the identity: it knows nothing of a key that was used."""
    opened(path).close()

    with pytest.raises(JournalError, match="has sent 5 transactions"):
        Journal.open(path, chain_id=1, sender=SENDER, chain_nonce=5)
    Journal.open(path, chain_id=1, sender=SENDER, chain_nonce=5, init=True).close()


@pytest.mark.io
async def test_reading_commands_work_beside_the_running_node(journal, path):
    """And cannot write."""
    await journal.record([submission(0)])
    engine = database.reader(path)

    found = database.read(
        engine, lambda one: submissions.submissions_in(one, [NonceState.BOUND], newest=10)
    )

    assert [one.nonce for one in found] == [0]
    with pytest.raises(JournalError, match="readonly"):
        database.read(engine, lambda one: submissions.finalise(one, 0))
    engine.dispose()


@pytest.mark.io
@pytest.mark.parametrize(
    ("chain_id", "sender", "says"),
    [(2, SENDER, "belongs to chain 1"), (1, "0xBB", "belongs to 0x"), (1, None, "not to a dry")],
)
def test_a_foreign_journal_is_refused(path, chain_id, sender, says):
    """Another chain's nonces would be sent on this one."""
    Journal.open(path, chain_id=1, sender=SENDER).close()

    with pytest.raises(JournalError, match=says):
        Journal.open(path, chain_id=chain_id, sender=sender)


@pytest.mark.io
@pytest.mark.parametrize("empty_file", [True, False])
def test_f24_a_lost_journal_of_a_used_key_is_refused_unless_asked_for(path, empty_file):
    """What it knew may still be in a mempool; SQLite would open an empty file as a new one."""
    if empty_file:
        path.touch(mode=0o600)
    with pytest.raises(JournalError, match="has sent 5 transactions"):
        Journal.open(path, chain_id=1, sender=SENDER, chain_nonce=5)

    made = Journal.open(path, chain_id=1, sender=SENDER, chain_nonce=5, init=True)
    assert made.first_nonce == 5
    made.close()


@pytest.mark.io
@pytest.mark.parametrize("damage", [b"no database at all" * 100, None])
def test_f24_a_damaged_journal_is_refused(path, damage):
    """Half a record is worse than none: nothing may be signed on it."""
    Journal.open(path, chain_id=1, sender=SENDER).close()
    raw = bytearray(path.read_bytes())
    path.write_bytes(damage or bytes(raw[:4096]) + os.urandom(4096) + bytes(raw[8192:]))

    with pytest.raises(JournalError):
        Journal.open(path, chain_id=1, sender=SENDER)


@pytest.mark.io
def test_a_journal_that_others_can_read_is_refused(path):
    """The operator is told the command that repairs it."""
    path.touch()
    path.chmod(0o644)

    with pytest.raises(JournalError, match="0644") as caught:
        Journal.open(path, chain_id=1, sender=SENDER)
    assert caught.value.hint == f"chmod 600 {path}"


@pytest.mark.io
def test_a_journal_of_a_newer_version_is_refused(path):
    """Its columns may mean something that this version does not know."""
    Journal.open(path, chain_id=1, sender=SENDER).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()

    with pytest.raises(JournalError, match="newer version"):
        Journal.open(path, chain_id=1, sender=SENDER)


@pytest.mark.io
def test_the_migrations_make_exactly_the_tables_that_the_code_uses(journal, path):
    """A column that only one of them has would fail at the worst moment."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()

    assert differences == []


@pytest.mark.io
async def test_what_failed_long_ago_is_known_however_much_was_mined_since(path):
    """A restart knows who is left alone; what worked comes without its bytes."""
    journal = Journal.open(path, chain_id=1, sender=SENDER, init=True)
    failure = PlanOutcome(
        market="m", account="a", token="t", profit=0, profit_wei=0, failure="lies"
    )
    for nonce in range(250):
        await journal.record([submission(nonce)])
        plans = {"plans": (failure,)} if nonce in (0, 5) else {}
        seen = inclusion(hash=attempt(nonce).hash, block_number=8 + nonce, **plans)
        await journal.include(nonce, seen)

    found = await journal.mined_since(9)
    journal.close()

    assert [one.nonce for one in found] == list(range(1, 250))
    (failed,) = [one for one in found if one.batch is not None]
    assert (failed.nonce, failed.inclusion.plans) == (5, (failure,))
    assert {one.inclusion.plans[0].failure for one in found if one is not failed} == {""}
