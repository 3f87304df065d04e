"""Real plans, the real executor: simulated, sent, mined, and read back plan by plan."""

import contextlib
import sqlite3
from dataclasses import replace

import pytest

from keeper.chain.reader import connect
from keeper.devnet.market import hot_key
from keeper.domain.errors import JournalError
from keeper.execution.everywhere import SendsEverywhere
from keeper.execution.fees import FeeOracle, FeePolicy
from keeper.execution.results import plan_outcomes
from keeper.execution.signer import LocalSigner
from keeper.execution.simulator import ExecutorSimulator
from keeper.execution.submitter import NodeSubmitter
from keeper.execution.tracker import Tracker
from keeper.storage.documents import plan_from
from keeper.storage.journal import Journal
from tests.chain.conftest import INTERVAL
from tests.chain.worlds import Keeper, driven
from tests.support import proxy as proxies

CHAIN_ID = 31337
FALL = {"WETH": 2_500 * 10**8, "WBTC": 50_000 * 10**8}
STEP_GAS = 900_000
BATCH_GAS = 3_000_000
NO_MODULE = 99


@pytest.fixture
def plans(aave36, tmp_path):
    """What a dry run would have done: plans of this very market at this very block."""
    keeper = Keeper(tmp_path / "dry", aave36)
    keeper.configure()
    aave36.set_prices(FALL)
    driven(keeper, 1, "--dry-run")
    (ledger,) = keeper.folder.glob("*.dry-run.sqlite")
    with contextlib.closing(sqlite3.connect(ledger)) as rows:
        found = [plan_from(one) for (one,) in rows.execute("SELECT plan FROM paper ORDER BY id")]
    assert len(found) >= 3
    aave36.node.rpc("evm_setAutomine", [False])
    return sorted(found, key=lambda one: -one.gross_profit_wei)


class Sending:
    """A submitter on the chain, with a real journal, behind geth's rules."""

    def __init__(self, devnet, reader, journal, proxy):
        self.devnet, self.reader, self.events, self.proxy = devnet, reader, [], proxy
        signer = LocalSigner(bytes.fromhex(hot_key().removeprefix("0x")), CHAIN_ID)
        tracker = Tracker(
            chain=reader,
            journal=journal,
            sender=signer.address,
            outcomes=plan_outcomes,
            emit=self.events.append,
        )
        fees = FeeOracle(reader, CHAIN_ID, FeePolicy())
        self.submitter = NodeSubmitter(
            signer=signer, node=SendsEverywhere(reader.rpc), tracker=tracker, fees=fees
        )
        self.simulator = ExecutorSimulator(
            reader,
            executor=devnet.executor,
            operator=signer.address,
            step_gas=lambda _: STEP_GAS,
            block_seconds=INTERVAL,
        )

    def batch(self, *plans):
        return self.simulator.batch(plans, net_profit=10**15, gas_limit=BATCH_GAS)

    async def mined(self):
        """Mine the block that was simulated; return what it included, in the order of nonces."""
        before, head = len(self.events), await self.reader.head()
        self.devnet.node.rpc("evm_setNextBlockTimestamp", [head.timestamp + INTERVAL])
        self.devnet.node.rpc("evm_mine")
        await self.submitter.follow(await self.reader.head(), lambda *_: True)
        return [one for one in self.events[before:] if one["event"] == "included"]


@pytest.fixture
async def sending(aave36, tmp_path):
    hot = aave36.accounts.hot
    nonce = int(aave36.node.rpc("eth_getTransactionCount", [hot, "latest"]), 16)
    journal = Journal.open(
        tmp_path / "j.sqlite", chain_id=CHAIN_ID, sender=hot, chain_nonce=nonce, init=True
    )
    async with (
        proxies.running(f"http://127.0.0.1:{aave36.node.port}") as proxy,
        connect([proxy.url], chain_id=CHAIN_ID) as reader,
    ):
        yield Sending(aave36, reader, journal, proxy)
    journal.close()


def receiver_balances(devnet, plans):
    tokens = {one.spend_token: None for one in plans}
    named = {token.address: token for token in devnet.tokens.values()}
    return {one: named[one].call("balanceOf", devnet.accounts.receiver) for one in tokens}


async def test_each_plan_of_a_batch_is_simulated_and_mined_for_itself(aave36, plans, sending):
    """One that cannot work is undone and reported; the others pay exactly what was simulated."""
    good, other = plans[:2]
    batch = sending.batch(good, replace(plans[2], module=NO_MODULE), other)
    before = receiver_balances(aave36, plans)

    (simulated,) = await sending.simulator.simulated([batch], await sending.reader.head())
    await sending.submitter.submit([batch], await sending.reader.head())
    (included,) = await sending.mined()

    assert [one.failure for one in simulated.plans] == ["", f"UnknownModule({NO_MODULE})", ""]
    assert [one["failure"] for one in included["plans"]] == [one.failure for one in simulated.plans]
    mined = [int(one["profit"]) for one in included["plans"]]
    assert mined == [one.profit for one in simulated.plans]
    after = receiver_balances(aave36, plans)
    for token in before:
        told = sum(int(one["profit"]) for one in included["plans"] if one["token"] == token)
        assert after[token] - before[token] == told
    worth = sum(int(one["profit_wei"]) for one in included["plans"])
    assert int(included["net_profit_wei"]) == worth - int(included["gas_cost_wei"])


async def test_two_transactions_with_consecutive_nonces_share_a_block(plans, sending):
    """Thirty positions need more than one transaction, and not one block each."""
    batches = [sending.batch(plans[0]), sending.batch(plans[1])]

    await sending.submitter.submit(batches, await sending.reader.head())
    first, second = await sending.mined()

    assert second["nonce"] == first["nonce"] + 1
    assert second["block_hash"] == first["block_hash"]
    assert [one["plans"][0]["failure"] for one in (first, second)] == ["", ""]


async def test_two_batches_about_one_account_are_refused_by_the_journal(plans, sending):
    """Whatever went wrong before it: nothing of it is signed into the world."""
    twice = [sending.batch(plans[0]), sending.batch(plans[0])]

    with pytest.raises(JournalError, match="no block consumed yet"):
        await sending.submitter.submit(twice, await sending.reader.head())

    assert sending.proxy.counts["eth_sendRawTransaction"] == 0


async def test_a_cure_that_came_first_is_told_as_the_reason(aave36, plans, sending):
    """The price recovered: the whole transaction reverts, and the pool's own error is named."""
    await sending.submitter.submit([sending.batch(plans[0])], await sending.reader.head())
    (waiting,) = sending.submitter.tracker.bound()
    aave36.node.rpc("anvil_dropTransaction", [waiting.newest.hash])
    aave36.node.rpc("evm_setAutomine", [True])
    aave36.set_prices({"WETH": 4_000 * 10**8, "WBTC": 90_000 * 10**8})
    aave36.node.rpc("evm_setAutomine", [False])

    await sending.submitter.follow(await sending.reader.head(), lambda *_: True)
    (included,) = await sending.mined()

    assert included["success"] is False
    (failure,) = [one["failure"] for one in included["plans"]]
    assert failure.startswith("the whole transaction reverted: nothing worked: ")
    assert "NotLiquidatable" in failure
    assert int(included["net_profit_wei"]) == -int(included["gas_cost_wei"])
    assert sending.submitter.in_flight() == frozenset()


async def test_the_replacement_that_only_we_know_of_leaves_the_older_one_its_receipt(
    plans, sending
):
    """The node swallowed the bump; what it mines is the first attempt, and that counts."""
    await sending.submitter.submit([sending.batch(plans[0])], await sending.reader.head())
    (waiting,) = sending.submitter.tracker.bound()

    async def swallow(request):
        if request["method"] == "eth_sendRawTransaction":
            sent = proxies.pooled(request["params"][0]).hash
            return {"jsonrpc": "2.0", "id": request["id"], "result": sent}
        return None

    sending.proxy.hooks.append(swallow)
    bumped = await sending.submitter.bump(waiting.nonce)
    (included,) = await sending.mined()

    assert included["hash"] == waiting.attempts[0].hash != bumped
    assert (included["kind"], included["plans"][0]["failure"]) == ("send", "")
