"""Rounds of one account in one transaction, as the journal and the record keep them."""

import contextlib
import json
import sqlite3
from dataclasses import replace

import pytest

from keeper.domain.errors import JournalError
from keeper.domain.submission import PlanOutcome
from keeper.storage.decisions import DecisionJournal
from keeper.storage.journal import Journal
from tests.support.scripted_submission import plan
from tests.unit.storage.test_journal import SENDER, inclusion, submission

FIRST, SECOND = plan(1), replace(plan(1), spend=7, net_profit=3, health_factor=8 * 10**17)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "j.sqlite"


@pytest.fixture
def journal(path):
    made = Journal.open(path, chain_id=1, sender=SENDER)
    yield made
    made.close()


def rows(path, query):
    with contextlib.closing(sqlite3.connect(path)) as raw:
        return raw.execute(query).fetchall()


async def test_rounds_of_one_pair_are_numbered_within_their_transaction(journal, path):
    """Account, pair and round stay unique; they come back in the order of their steps."""
    await journal.record([submission(0, FIRST, plan(2), SECOND)])

    assert rows(path, "SELECT position, round FROM intents ORDER BY position") == [
        (0, 0),
        (1, 0),
        (2, 1),
    ]
    (kept,) = await journal.open_submissions()
    assert kept.batch.plans == (FIRST, plan(2), SECOND)


async def test_another_transaction_for_the_account_is_refused_as_before(journal):
    """While its rounds wait for a block, nobody signs for it a second time."""
    await journal.record([submission(0, FIRST, SECOND)])

    with pytest.raises(JournalError, match="no block consumed"):
        await journal.record([submission(1, FIRST)])


async def test_a_later_block_goes_on_counting(journal, path):
    """The number says how often the pair was taken, whatever shared a transaction."""
    await journal.record([submission(0, FIRST, SECOND)])
    await journal.include(0, inclusion())
    await journal.record([submission(1, FIRST)])

    assert [number for (number,) in rows(path, "SELECT round FROM intents ORDER BY id")] == [
        0,
        1,
        2,
    ]


async def test_each_round_is_on_record_with_what_it_spent(journal, path):
    """Of two outcomes of one account each one has its own plan's figures, also if one failed."""
    await journal.record([submission(0, FIRST, plan(2), SECOND)])
    outcomes = tuple(
        PlanOutcome(
            market=one.market,
            account=one.account,
            token=one.spend_token,
            profit=1,
            profit_wei=1,
            failure=failure,
        )
        for one, failure in ((FIRST, ""), (plan(2), ""), (SECOND, "reverted"))
    )

    await journal.include(0, inclusion(plans=outcomes))

    bodies = [json.loads(body) for (body,) in rows(path, "SELECT body FROM entries ORDER BY id")]
    found = [(one["spend"], one["failure"]) for one in bodies]
    assert found == [
        (str(FIRST.spend), ""),
        (str(plan(2).spend), ""),
        (str(SECOND.spend), "reverted"),
    ]


async def test_what_was_not_recorded_is_adopted_as_one_decision(journal, path):
    """A process died between its transaction and the record: the account is decided once."""
    log = DecisionJournal(journal.database)
    await log.start()
    await journal.record([submission(0, FIRST, plan(2), SECOND)])

    await log.start()

    bodies = [json.loads(body) for (body,) in rows(path, "SELECT body FROM entries ORDER BY id")]
    assert [len(one["decision"]["further"]) for one in bodies] == [1, 0]
    assert bodies[0]["decision"]["further"][0]["spend"] == str(SECOND.spend)
