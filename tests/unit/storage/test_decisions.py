import json
import sqlite3
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.decision import Liquidate, Skip, SkipReason
from keeper.storage.database import opened
from keeper.storage.decisions import DecisionJournal, is_news, profit_band
from keeper.storage.documents import plan_document, plan_from
from keeper.storage.journal import Journal
from keeper.storage.paper import PaperLedger
from keeper.storage.record import Scope, verified
from tests.support.scripted_submission import MARKET, account, head, plan
from tests.unit.storage.test_journal import submission

DUST = Skip(market=MARKET, account=account(1), reason=SkipReason.DUST, net_profit=-5)


@pytest.fixture
def database(tmp_path):
    made = opened(tmp_path / "j.sqlite")
    yield made
    made.close()


def rows(tmp_path, query):
    connection = sqlite3.connect(tmp_path / "j.sqlite")
    found = connection.execute(query).fetchall()
    connection.close()
    return found


@pytest.mark.slow
async def test_permanent_dust_is_one_row_and_every_block_has_its_digest(tmp_path, database):
    """The disk must not fill with the same answer; the digest still proves it was given."""
    log = DecisionJournal(database)
    for number in range(1, 6):
        await log.record(head(number), [replace(DUST, net_profit=-5 - number % 2)], {})
    await log.record(head(6), [replace(DUST, net_profit=-80)], {})
    await log.record(head(7), [Liquidate(plan=plan(1))], {})

    stored = rows(tmp_path, "SELECT block_number, body FROM entries WHERE kind = 'decision'")
    told = [(number, json.loads(body)) for number, body in stored]
    assert [(number, body["action"], body["net_profit"]) for number, body in told] == [
        (1, "skip", "-6"),
        (6, "skip", "-80"),
        (7, "liquidate", str(plan().net_profit)),
    ]
    digests = [
        json.loads(body)
        for (body,) in rows(tmp_path, "SELECT body FROM entries WHERE kind = 'digest'")
    ]
    assert len(digests) == 7
    assert digests[0]["counts"] == {"dust": "1"}
    of_all = [one["sha256_of_all"] for one in digests]
    assert of_all[0] == of_all[2] != of_all[1]


@pytest.mark.slow
async def test_a_thousand_blocks_of_dust_are_as_many_rows_as_accounts(tmp_path, database):
    """Whatever number the profit trembles around; a digest is a few hundred bytes."""
    log = DecisionJournal(database)
    worth = [-(2**40), 2**40, -5, 0, None]
    for number in range(1_000):
        await log.record(head(number), [dust(at, one, number) for at, one in enumerate(worth)], {})

    counted = rows(
        tmp_path,
        "SELECT account, count(*) FROM entries WHERE kind = 'decision' GROUP BY account",
    )
    assert [count for _, count in counted] == [1] * len(worth)
    (size,) = rows(tmp_path, "SELECT max(length(body || hash)) FROM entries WHERE kind = 'digest'")
    assert size[0] < 400


@pytest.mark.slow
async def test_f25_a_block_of_the_far_future_takes_nothing_off_the_record(tmp_path, database):
    """A node's clock ran ten years ahead for a block; what is kept goes by this machine's, too."""
    log, now = DecisionJournal(database, keep_days=2), int(time.time())
    for number in range(4):
        await log.record(head(number, timestamp=now - 3_600 + number), [DUST], {})
    before = rows(tmp_path, "SELECT min(id) FROM entries")
    await log.record(head(4, timestamp=now + 3_650 * 86_400), [DUST], {})
    await log.record(head(5, timestamp=now + 12), [DUST], {})

    assert rows(tmp_path, "SELECT min(id) FROM entries") == before


@pytest.mark.slow
async def test_what_is_older_than_the_settings_keep_goes_once_a_day(tmp_path, database):
    """A keeper that is never stopped does not fill the disk; the rest is still verifiable."""
    log = DecisionJournal(database, keep_days=2)
    for day in range(6):
        for number in range(2):
            await log.record(head(2 * day + number, timestamp=86_400 * day + number), [DUST], {})

    kinds = rows(tmp_path, "SELECT kind, count(*) FROM entries GROUP BY kind")
    (oldest,) = rows(tmp_path, "SELECT min(block_time) FROM entries")
    assert oldest[0] >= 86_400 * 3
    assert dict(kinds)["pruned"] >= 1
    found = database.write_now(verified, Scope())
    assert (found.problem, found.after.id > 0) == ("", True)


def dust(index, worth, number):
    trembling = None if worth is None else worth + number % 3 - 1 if abs(worth) > 5 else worth
    return replace(DUST, account=account(index), net_profit=trembling)


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        (10, 20, False),
        (10, 21, True),
        (10, 5, False),
        (10, 4, True),
        (-10, -20, False),
        (-10, -21, True),
        (5, -5, True),
        (0, 0, False),
        (0, 1, True),
        (None, None, False),
        (None, 1, True),
        (1, None, True),
    ],
)
def test_a_profit_is_news_when_it_doubled_or_halved_since_it_was_stored(before, now, news):
    """Drifting slowly counts from what was stored, not from the last block."""
    assert is_news(("skip", "dust", before), ("skip", "dust", now)) is news


def test_another_action_or_reason_is_always_news():
    """Also where the profit is the same."""
    assert is_news(None, ("skip", "dust", 1))
    assert is_news(("skip", "dust", 1), ("skip", "no_exit_route", 1))
    assert is_news(("skip", "dust", 1), ("liquidate", "profitable", 1))


@pytest.mark.slow
@given(st.integers(-(2**255), 2**255))
def test_a_profit_band_is_a_power_of_two_on_either_side_of_zero(profit):
    """A profit is stored again when it doubles, not when it trembles."""
    band = profit_band(profit)

    assert (band > 0) == (profit > 0)
    assert 2 ** abs(band) > abs(profit) >= 2 ** abs(band) // 2


def test_a_plan_comes_back_from_the_journal_exactly():
    """After a restart the receipt is read with the plan that was sent."""
    big = plan(3, amount=2**256 - 1, alternatives=("a: b", "c"))

    assert plan_from(plan_document(big)) == big


@pytest.mark.slow
async def test_the_paper_ledger_sums_exactly(database):
    """Sums of wei beyond what a database's own integers hold."""
    ledger = PaperLedger(database)
    await ledger.add([plan(0, net_profit=2**70), plan(1, net_profit=1)], head(1))

    totals = await ledger.totals()

    assert (totals.liquidations, totals.net_profit) == (2, 2**70 + 1)
    assert totals.gas_cost == 2 * plan().gas * plan().gas_price


@pytest.mark.io
async def test_what_was_acted_on_and_not_recorded_is_taken_from_the_journal(tmp_path):
    """A process that dies between its transaction and the record leaves a decision behind."""
    journal = Journal.open(tmp_path / "j.sqlite", chain_id=1, sender=account(9))
    log = DecisionJournal(journal.database)
    await log.start()
    await journal.record([submission(0, plan(1), plan(2))])

    await log.start()
    await log.start()

    stored = rows(tmp_path, "SELECT block_number, account, body FROM entries")
    assert [(number, who) for number, who, _ in stored] == [(7, account(1)), (7, account(2))]
    assert {json.loads(body)["action"] for _, _, body in stored} == {"liquidate"}
    journal.close()


@pytest.mark.io
async def test_what_is_on_record_is_not_taken_from_the_journal_again(tmp_path):
    """A start after an orderly end, whatever was sent, adds nothing."""
    journal = Journal.open(tmp_path / "j.sqlite", chain_id=1, sender=account(9))
    log = DecisionJournal(journal.database)
    await journal.record([submission(0, plan(1))])
    await log.record(head(7), [Liquidate(plan=plan(1))], {})

    await DecisionJournal(journal.database).start()

    assert len(rows(tmp_path, "SELECT id FROM entries WHERE kind = 'decision'")) == 1
    journal.close()
