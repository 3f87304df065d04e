import asyncio
import json
from dataclasses import replace

import pytest

from keeper.cli import root, tx
from keeper.domain.submission import (
    Attempt,
    AttemptKind,
    Fees,
    Inclusion,
    PlanOutcome,
    Submission,
)
from keeper.storage.journal import Journal
from tests.support.scripted_submission import EXECUTOR, MARKET, TOKEN, account, batch


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(tx, "_find_journal", lambda _: tmp_path / "j.sqlite")
    return tmp_path / "j.sqlite"


def bound(path):
    attempt = Attempt(
        nonce=0,
        kind=AttemptKind.SEND,
        hash="0x" + "ab" * 32,
        raw=b"\x02",
        fees=Fees(max_fee=2**70, priority_fee=1),
        gas_limit=1,
        to=EXECUTOR,
        calldata=b"",
        block_number=1,
    )
    journal = Journal.open(path, chain_id=1, sender=EXECUTOR)
    asyncio.run(journal.record([Submission(nonce=0, batch=batch(), attempts=(attempt,))]))
    return journal


@pytest.mark.io
def test_the_journal_is_listed_beside_the_process_that_has_it(path, capsys):
    """Amounts are strings: no reader of the JSON may round them."""
    journal = bound(path)
    code = root.run(["tx", "list", "--json"])
    journal.close()

    (one,) = json.loads(capsys.readouterr().out)["transactions"]
    assert code == 0
    assert (one["nonce"], one["state"], one["hash"]) == (0, "bound", "0x" + "ab" * 32)
    assert one["accounts"] == [{"market": MARKET, "account": account(0)}]
    assert one["attempts"][0]["max_fee_wei"] == str(2**70)


@pytest.mark.io
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["tx", "show", "7"], 2, "has no transaction 7"),
        (["tx", "bump", "0"], 3, "no node is running"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(path, capsys, arguments, code, said):
    """With the exit code that scripts rely on."""
    bound(path).close()

    assert root.run(arguments) == code
    assert said in capsys.readouterr().err


def test_no_journal_has_its_own_exit_code(path, capsys):
    """Reading never makes one."""
    assert root.run(["tx", "list"]) == 4
    assert not path.exists()


@pytest.mark.io
def test_show_tells_intents_every_attempt_and_what_was_booked_and_taken_back(path, capsys):
    """A reorg is part of the story: the first receipt and its profit are orphaned, and told."""
    journal = bound(path)
    earned = PlanOutcome(
        market=MARKET, account=account(0), token=TOKEN, profit=7, profit_wei=9, log_index=3
    )
    mined = Inclusion(
        hash="0x" + "ab" * 32,
        block_number=5,
        block_hash="0xaa",
        success=True,
        gas_used=1,
        effective_gas_price=1,
        plans=(earned,),
        data_fee=4,
    )
    asyncio.run(journal.include(0, mined))
    asyncio.run(journal.reopen(0))
    reopened = root.run(["tx", "show", "0", "--json"]), json.loads(capsys.readouterr().out)
    restated = replace(earned, profit=8, profit_wei=10)
    asyncio.run(journal.include(0, replace(mined, block_hash="0xbb", plans=(restated,))))
    journal.close()
    root.run(["tx", "show", "0", "--json"])
    last = json.loads(capsys.readouterr().out)

    assert reopened[0] == 0
    assert [one["state"] for one in reopened[1]["booked"]] == ["orphaned"]
    assert [(one["state"], one["profit"]) for one in last["booked"]] == [("booked", "8")]
    assert [one["state"] for one in last["receipts"]] == ["orphaned", "included"]
    assert last["receipts"][1]["data_fee_wei"] == "4"
    assert [(one["account"], one["round"]) for one in last["intents"]] == [(account(0), 0)]
    assert [one["kind"] for one in last["sends"]] == ["send"]
