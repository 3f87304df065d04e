"""Killed right after a send: the next process knows what is on its way, and sends it to nobody."""

import contextlib
import signal
import sqlite3

import pytest

from keeper.chain.abi import checksum
from keeper.strategy.portions import FIRST
from tests.chain.worlds import Keeper, decisions, driven, hot_receipts, liquidation_logs, plans_of

FALL = {"WETH": 2_600 * 10**8}


@pytest.fixture
def keeper(aave36, tmp_path):
    """A keeper of a market in which accounts are unhealthy and no block is mined."""
    made = Keeper(tmp_path / "keeper", aave36)
    made.configure()
    aave36.set_prices(FALL)
    aave36.node.rpc("evm_setAutomine", [False])
    return made


def killed_after_sending(keeper):
    """Run until bytes have left, then kill -9; return the hashes that it had told, and when."""
    with keeper.running() as running:
        at = running.until("attempt", still=keeper.devnet.node)["block_number"]
        running.process.send_signal(signal.SIGKILL)
        running.end()
    return {one["hash"] for one in running.events if one["event"] == "attempt"}, at


def journaled(keeper):
    """Return the journal's transactions: the nonce of each hash."""
    query = "select hash, nonce from attempts join transactions t on t.id = transaction_id"
    with contextlib.closing(sqlite3.connect(keeper.folder / "keeper.sqlite")) as database:
        return dict(database.execute(query).fetchall())


def test_nothing_is_sent_twice_over_a_kill(keeper):
    """The second process takes up what the first one sent; each account is liquidated once."""
    devnet = keeper.devnet
    told, start = killed_after_sending(keeper)
    sent = journaled(keeper)
    assert told <= sent.keys()
    assert int(devnet.node.rpc("txpool_status")["pending"], 16) >= len(told) >= 1

    events = driven(keeper, 3)

    included = {one["hash"]: one for one in events if one["event"] == "included"}
    assert sent.keys() <= included.keys()
    again = [one for one in decisions(events, "liquidate") if one["block_number"] == start]
    under_way = {plan["account"] for one in sent for plan in included[one]["plans"]}
    assert under_way.isdisjoint(one["account"] for one in again)
    receipts = hot_receipts(devnet, start)
    assert {one["transactionHash"] for one in receipts} == journaled(keeper).keys()
    assert all(int(one["status"], 16) == 1 for one in receipts)
    first = [log["topics"][3][-40:] for log in liquidation_logs(devnet, start, start + 1)]
    landed = [
        one["transactionHash"] for one in receipts if int(one["blockNumber"], 16) == start + 1
    ]
    assert sent.keys() <= set(landed)
    planned = sum(len(included[one]["plans"]) for one in landed)
    assert len(first) == len(set(first)) == planned >= 10
    assert [one["failure"] for one in plans_of(events) if one["failure"]] == []


def calls_of(keeper):
    """Return what is in the outbox: the account, the kind and the tier of each notice."""
    with contextlib.closing(sqlite3.connect(keeper.folder / "keeper.sqlite")) as database:
        return database.execute("select account, kind, tier from notices").fetchall()


def test_whoever_was_liquidated_while_the_keeper_was_dead_is_told_of_it(keeper):
    """Killed with its bytes on the wire and its calls not kept; the next start is a block later."""
    devnet = keeper.devnet
    keeper.failpoint = "K5"
    with keeper.running() as running:
        assert running.end() == -signal.SIGKILL
    assert calls_of(keeper) == []
    keeper.failpoint = ""
    devnet.node.rpc("evm_mine")
    block = devnet.node.block_number()
    done = {checksum("0x" + one["topics"][3][-40:]) for one in liquidation_logs(devnet, block)}

    with keeper.running() as running:
        running.until("block", block=block)

    told = calls_of(keeper)
    assert len(told) == len(set(told))
    assert len(done) == FIRST
    for account in done:
        kinds = [(kind, tier) for who, kind, tier in told if who == account]
        assert kinds == [("called", "liquidatable"), ("liquidated", "liquidatable")]
    story = keeper.command("explain", min(done), "--recorded", "--json").document
    (history,) = [one["history"] for one in story["stories"]]
    assert [one["body"]["action"] for one in history if one["kind"] == "decision"] == ["liquidate"]
    report = keeper.command("report", "fairness", "--json")
    assert report.code == 0, report.err
    breaches = [one for one in report.document["breaches"] if one["account"] in done]
    assert len(breaches) == len(done)
    assert {(one["seconds_to_call"], one["end"]) for one in breaches} == {(0, "liquidated")}
    assert all(one["seconds_to_action"] and one["debt_usd_e8"] for one in breaches)
