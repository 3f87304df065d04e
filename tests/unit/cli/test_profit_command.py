"""`keeper report profit` and `keeper tx list` over a journal: what is said, and of what."""

import asyncio
import json

import pytest

from keeper.cli import root
from keeper.domain.head import Head
from keeper.domain.submission import Submission
from keeper.margin.state import MarginState
from keeper.storage import episodes
from keeper.storage.journal import Journal
from keeper.storage.paper import PaperLedger
from keeper.storage.places import file_of
from tests.support.scripted_submission import EXECUTOR, TOKEN, account, block_hash, plan
from tests.unit.audit.test_earnings import NOON, attempt, mined, outcome
from tests.unit.cli.test_breaker_command import SETTINGS

ETHER = 10**18
PRICED = plan(0, native_usd_e8=2_000 * 10**8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keeper.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def journal(folder):
    opened = Journal.open(folder / "j.sqlite", chain_id=1, sender=EXECUTOR)
    yield opened
    opened.close()


def kept(journal, nonce, one):
    """Keep a nonce as a keeper does: bound first, then mined."""
    tries = tuple(attempt(tried=f"0x{nonce:064x}") for _ in one.attempts)
    whole = Submission(nonce=nonce, batch=one.batch, attempts=tries)
    asyncio.run(journal.record([whole]))
    if one.inclusion is not None:
        included = one.inclusion
        asyncio.run(journal.include(nonce, included))


def ran(capsys, *arguments, code=0):
    assert root.run(list(arguments)) == code
    told = capsys.readouterr()
    return json.loads(told.out) if "--json" in arguments else told.out


@pytest.mark.io
def test_a_liquidation_a_lost_race_and_what_is_not_mined_yet(journal, capsys):
    """Ether for people, wei for scripts, and what is missing said."""
    lost = plan(1, native_usd_e8=2_000 * 10**8)
    failed = (outcome(lost, 0, 0, "NotLiquidatable()"),)
    kept(journal, 0, mined(PRICED, tried="0xaa"))
    kept(journal, 1, mined(lost, outcomes=failed, success=False, tried="0xbb"))
    kept(journal, 2, Submission(nonce=2, batch=mined(plan(2)).batch, attempts=(attempt(),)))

    found = ran(capsys, "report", "profit", "--json", "--offline")
    shown = ran(capsys, "report", "profit", "--offline")

    total = found["total"]
    assert (total["liquidations"], total["lost"]["plans"], found["pending"]) == (1, 1, 1)
    assert total["gross_wei"] == str(ETHER)
    assert total["gross_usd"] == "2000"
    assert total["gas_wei"] == str(2 * 10**15)
    assert total["lost"] == {
        "plans": 1,
        "gas_wei": str(10**15),
        "gas_usd": "2",
        "kinds": {"race": 1},
        "reasons": {"NotLiquidatable()": 1},
    }
    assert total["net_wei"] == str(ETHER - 2 * 10**15)
    assert total["net_usd"] == "1996"
    assert total["received"] == [{"token": TOKEN, "amount": "100"}]
    assert "1.000000" in shown
    assert "0.998000" in shown
    assert f"the receiver got, by the journal alone, 100 units of {TOKEN}" in shown
    assert "the chain was not asked, so this is the journal's alone: --offline" in shown
    assert "lost: 1 to somebody faster (1 x NotLiquidatable())" in shown
    assert "1 transaction without a receipt in the journal: not in the figures" in shown
    assert "what builders were paid is not known without the chain" in shown


@pytest.mark.io
def test_a_node_that_does_not_answer_leaves_the_journals_figures_and_says_so(journal, capsys):
    """Whoever is asked for the books while the node is down has them still."""
    kept(journal, 0, mined(PRICED))

    found = ran(capsys, "report", "profit", "--json")

    assert found["chain"]["asked"] is False
    assert found["warnings"][0].startswith(
        "the chain was not asked, so this is the journal's alone"
    )
    assert found["total"]["liquidations"] == 1


@pytest.mark.io
@pytest.mark.parametrize(
    ("since", "liquidations"),
    [
        ("2023-11-14", 1),
        ("2023-11-14T22:13:20", 1),
        ("2023-11-14T22:13:21", 0),
        ("2023-11-14T23:13:20+01:00", 1),
        ("1d", 1),
        ("11h", 0),
    ],
)
def test_since_a_time_or_for_how_long_before_the_newest_block(journal, capsys, since, liquidations):
    """By the chain's clock, of which the newest block is the end."""
    kept(journal, 0, mined(PRICED))
    later = Head(
        number=9, hash=block_hash(9), parent_hash=block_hash(8), timestamp=NOON + 12 * 3_600,
        base_fee=1, gas_limit=1, gas_used=1,
    )  # fmt: skip
    asyncio.run(keep_block(journal, later))

    found = ran(capsys, "report", "profit", "--json", "--offline", "--since", since)

    assert found["total"]["liquidations"] == liquidations


async def keep_block(journal, head):
    state = MarginState(number=head.number, hash=head.hash, timestamp=head.timestamp)
    await journal.database.write(episodes.keep_rest, state, 1)


@pytest.mark.io
def test_what_is_no_time_is_refused(journal, capsys):
    """With the forms that there are."""
    assert root.run(["report", "profit", "--since", "yesterday"]) == 2
    assert "--since takes a time, not 'yesterday'" in capsys.readouterr().err


@pytest.mark.io
@pytest.mark.parametrize("since", ["2099-01-01", "2099-01-01T00:00:00+02:00", "9999-12-31"])
def test_a_time_that_is_yet_to_come_is_refused(journal, capsys, since):
    """A wrong year would read as: nothing was earned."""
    kept(journal, 0, mined(PRICED))

    assert root.run(["report", "profit", "--since", since]) == 2
    assert " is in the future" in capsys.readouterr().err


@pytest.mark.io
@pytest.mark.parametrize("since", ["0001-01-01", "9999d", "1D"])
def test_what_the_figures_begin_with_is_said(journal, capsys, since):
    """Of a report that was printed last month nobody else knows."""
    kept(journal, 0, mined(PRICED))

    shown = ran(capsys, "report", "profit", "--offline", "--since", since)
    always = ran(capsys, "report", "profit", "--offline")

    assert shown.startswith("since 2023-11-") == (since == "1D")
    assert not always.startswith("since")


@pytest.mark.io
def test_a_receipt_that_a_reorg_took_back_earned_nothing(journal, capsys):
    """Until a block has the transaction again."""
    kept(journal, 0, mined(PRICED))
    asyncio.run(journal.reopen(0))

    found = ran(capsys, "report", "profit", "--json")

    assert (found["total"]["liquidations"], found["pending"]) == (0, 1)


@pytest.mark.io
def test_paper_says_what_it_is_and_what_it_counts_twice(folder, capsys):
    """On the real chain nobody acts, so the account stays where it is."""
    paper = Journal.open(file_of(folder / "j.sqlite", "dry-run"), chain_id=1, sender=None)
    head = Head(
        number=5, hash=block_hash(5), parent_hash=block_hash(4), timestamp=NOON, base_fee=1,
        gas_limit=1, gas_used=1,
    )  # fmt: skip
    for _ in range(2):
        asyncio.run(PaperLedger(paper.database).add([PRICED], head))
    paper.close()

    found = ran(capsys, "report", "profit", "--json")
    shown = ran(capsys, "report", "profit", "--record", "dry-run")

    assert (found["record"], found["total"]["liquidations"]) == ("dry-run", 2)
    assert found["total"]["net_wei"] == str(2 * PRICED.net_profit)
    assert "a dry run: nothing was sent, all of this is on paper" in shown
    assert "1 of 2 rows are of accounts that are counted before" in shown
    assert "the receiver would have got" in shown


@pytest.mark.io
def test_nothing_is_said_to_be_nothing(journal, capsys):
    """An empty table reads like a fault."""
    assert "nothing was earned, and nothing was spent" in ran(capsys, "report", "profit")


@pytest.mark.io
def test_transactions_are_listed_in_ether_with_their_accounts(journal, capsys):
    """Wei by the twenty digits, and hashes alone, tell a person nothing."""
    kept(journal, 0, mined(PRICED))

    shown = ran(capsys, "tx", "list")
    whole = ran(capsys, "tx", "show", "0")
    (one,) = ran(capsys, "tx", "list", "--json")["transactions"]

    assert account(0) in shown
    assert "0.999000" in shown
    assert "included, not final yet" in shown
    assert one["net_profit_wei"] == str(ETHER - 10**15)
    assert one["receipt"]["gas_cost_wei"] == str(10**15)
    assert one["outcomes"][0]["profit"] == "100"
    assert f"{account(0)} in {PRICED.market}: expected" in whole
    assert "earned 1.000000 ETH before gas" in whole


def test_without_a_journal_no_profit_is_reported(folder, capsys):
    """Zero would be an answer, and a wrong one."""
    assert root.run(["report", "profit"]) == 4

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error[journal]: there is no journal at")
    assert [path.name for path in folder.iterdir()] == ["keeper.toml"]
