import sqlite3
from dataclasses import replace

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from keeper.domain.breaker import Breaker, BreakerState, OpenBreaker, Spent
from keeper.domain.submission import AttemptKind, PlanOutcome
from keeper.storage import breakers, database, schema
from keeper.storage.journal import Journal
from keeper.storage.migrations import FOLDER
from tests.support.scripted_submission import plan
from tests.unit.storage.test_journal import SENDER, attempt, inclusion, submission

HELD = OpenBreaker(
    name=Breaker.REVERTS, detail="five", block_number=7, timestamp=700, wanted=2**200
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keeper.sqlite"


@pytest.fixture
def journal(path):
    made = Journal.open(path, chain_id=1, sender=SENDER)
    yield made
    made.close()


async def mined(journal, nonce, **changes):
    await journal.record([submission(nonce, plan(nonce))])
    booked = inclusion(hash=attempt(nonce).hash, block_number=nonce, timestamp=1_000 + nonce)
    await journal.include(nonce, replace(booked, **changes))


@pytest.mark.io
async def test_what_was_spent_is_read_from_the_receipts(journal):
    """Those of the window, and the newest liquidations however old; a reorg takes one back."""
    for nonce in range(4):
        await mined(journal, nonce, success=nonce != 2)
    await journal.finalise(0)
    await journal.reopen(3)

    assert await journal.spent(1_001, 1) == [
        Spent(nonce=2, block_number=2, timestamp=1_002, cost=4_400_000, reverted=True)
    ]
    assert [one.nonce for one in await journal.spent(5_000, 2)] == [1, 2]
    assert [one.nonce for one in await journal.spent(0, 1)] == [0, 1, 2]


@pytest.mark.io
async def test_what_a_person_ordered_or_a_cancellation_did_is_no_failure(journal):
    """Its gas was spent all the same."""
    await mined(journal, 0, success=False)
    await journal.record([replace(submission(1), batch=None)])
    await journal.include(1, inclusion(hash=attempt(1).hash, success=False, timestamp=1_001))
    await journal.record([submission(2, plan(2))])
    cancel = attempt(2, kind=AttemptKind.CANCEL, fee=11)
    await journal.add_attempt(cancel)
    await journal.include(2, inclusion(hash=cancel.hash, timestamp=1_002))

    assert [one.reverted for one in await journal.spent(0, 5)] == [True, None, None]


@pytest.mark.io
@pytest.mark.parametrize(
    ("market", "reverted", "lost"),
    [
        ("morpho_blue:0x" + "5" * 40 + ":0x" + "0" * 64, None, True),
        ("aave_v3:0x" + "5" * 40, True, False),
    ],
)
async def test_a_defect_in_an_isolated_market_is_money_and_no_breaker(
    journal, market, reverted, lost
):
    """Anybody makes such a market: it is put aside, and what it costs counts with lost races."""
    failed = PlanOutcome(
        market=market,
        account=plan(0).account,
        token=plan(0).spend_token,
        profit=0,
        profit_wei=0,
        failure="Error(trap)",
    )
    await mined(journal, 0, success=False, plans=(failed,))

    (spent,) = await journal.spent(0, 5)

    assert (spent.reverted, spent.lost_race) == (reverted, lost)


@pytest.mark.io
async def test_a_breaker_is_as_it_was_after_a_restart(path):
    """That is what it is kept for."""
    first = Journal.open(path, chain_id=1, sender=SENDER)
    await first.open_breaker(HELD)
    await first.open_breaker(replace(HELD, detail="again"))
    first.close()

    second = Journal.open(path, chain_id=1, sender=SENDER)
    found = {one.name: one for one in await second.breakers()}
    second.close()

    assert found[Breaker.REVERTS] == BreakerState(name=Breaker.REVERTS, open=HELD)
    assert found.keys() == set(Breaker)
    assert [one.open for one in found.values() if one.name is not Breaker.REVERTS] == [None] * (
        len(Breaker) - 1
    )


@pytest.mark.io
async def test_a_reset_forgives_and_a_window_does_not(journal):
    """Whoever closed it is kept, and every time that it opened."""
    await mined(journal, 0)
    await journal.open_breaker(HELD)
    assert await journal.close_breaker(Breaker.REVERTS, "window", forgive=False)
    assert (await journal.breakers())[0].settled_through == -1

    await journal.open_breaker(HELD)
    assert await journal.close_breaker(Breaker.REVERTS, "reset", forgive=True)
    assert await journal.close_breaker(Breaker.REVERTS, "reset", forgive=True) is False

    assert await journal.breakers() == [
        BreakerState(name=one, settled_through=0 if one is Breaker.REVERTS else -1)
        for one in Breaker
    ]


@pytest.mark.io
async def test_a_journal_of_the_first_version_keeps_its_receipts_and_dates_them(path):
    """By when they were seen: nothing better is known, and they must count."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(FOLDER))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql(
            "INSERT INTO outcomes VALUES"
            " (1, 1, '0xaa', 'final', 1, 5, '0xbb', '10', '3', '[]', '2026-01-02T03:04:05+00:00')"
        )
    engine.dispose()
    path.chmod(0o600)

    Journal.open(path, chain_id=1, sender=SENDER).close()

    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT block_time FROM outcomes").fetchall() == [(1_767_323_045,)]
    raw.close()


@pytest.mark.io
async def test_reading_needs_no_lock(journal, path):
    """`keeper breaker list` works beside the running node."""
    await journal.open_breaker(HELD)
    engine = database.reader(path)

    found = database.read(engine, breakers.states)
    engine.dispose()

    assert found[0].open == HELD


def test_an_open_breaker_is_opened_once_and_closed_once():
    """In memory: a second trip does not move the block of the first, nor a second reset it."""
    with create_engine("sqlite://").begin() as connection:
        schema.metadata.create_all(connection)
        breakers.open_breaker(connection, HELD)
        breakers.open_breaker(connection, replace(HELD, block_number=9, detail="six"))

        opened = {one.name: one.open for one in breakers.states(connection)}
        assert opened == dict.fromkeys(Breaker) | {Breaker.REVERTS: HELD}

        assert breakers.close_breaker(connection, Breaker.REVERTS, "operator", forgive=True)
        assert not breakers.close_breaker(connection, Breaker.REVERTS, "operator", forgive=True)
        assert {one.open for one in breakers.states(connection)} == {None}
