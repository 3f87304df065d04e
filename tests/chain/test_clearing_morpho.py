"""The stage of clearing on real Morpho Blue, through the journal: once, within the grant."""

from dataclasses import replace

import pytest

from contracts.build import VAULT_BUILDS
from keeper.chain.abi import checksum, selector
from keeper.chain.reader import connect
from keeper.devnet.artifacts import Deployer
from keeper.devnet.market import hot_key
from keeper.domain.decision import Skip, SkipReason
from keeper.domain.restraint import Restraint
from keeper.domain.submission import Attempt, AttemptKind, Fees, Submission
from keeper.domain.units import WAD
from keeper.execution.everywhere import SendsEverywhere
from keeper.execution.fees import FeeOracle, FeePolicy
from keeper.execution.purse import Purse
from keeper.execution.results import plan_outcomes
from keeper.execution.signer import LocalSigner, Mandate
from keeper.execution.submitter import NodeSubmitter
from keeper.execution.tracker import Tracker
from keeper.execution.vault import CLEAR_SIGNATURE
from keeper.execution.vault_simulator import Trial, VaultSimulator
from keeper.stages.clearing import Clearing
from keeper.stages.valuation import NativeCoin
from keeper.storage.journal import Journal
from keeper.storage.record import entries_of
from tests.chain import vault_world as vaults
from tests.chain.morpho_world import ADMIN, LIQUIDATE, loaded, running_world, snapshots
from tests.chain.test_cures import CHAIN_ID, HOT
from tests.chain.vault_world import FAR

COUNTED = 9_500
GRANT = 10**6 * 10**8
"""Dollars (1e-8): the devnet's borrowers are large; what is said of a small one holds for them."""


@pytest.fixture(scope="module")
def chain():
    yield from running_world()


class Bench:
    """A keeper's stage of clearing with a journal of its own."""

    def __init__(self, reader, vault, coin, path):
        self.events = []
        key, address = bytes.fromhex(hot_key()[2:]), checksum(vault)
        fees = FeeOracle(reader, CHAIN_ID, FeePolicy())
        mandate = Mandate(
            targets=frozenset(),
            selector=b"none",
            max_fee=FeePolicy().max_fee,
            others=frozenset([(address, selector(CLEAR_SIGNATURE))]),
        )
        signer = LocalSigner(key, CHAIN_ID, mandate)
        self.journal = Journal.open(path, chain_id=CHAIN_ID, sender=signer.address, init=True)
        self.submitter = NodeSubmitter(
            signer=signer,
            node=SendsEverywhere(reader.rpc),
            tracker=Tracker(
                chain=reader,
                journal=self.journal,
                sender=signer.address,
                outcomes=plan_outcomes,
                emit=self.events.append,
                confirmations=2,
            ),
            fees=fees,
        )
        self.clearing = Clearing(
            purse=Purse(chain=reader, vault=address),
            simulator=VaultSimulator(chain=reader, vault=address, operator=signer.address),
            fees=fees,
            valuer=coin,
            deadline_seconds=180,
            emit=self.events.append,
        )

    async def batches(self, snapshot, account, grant):
        """Return what is made for an account that no sale pays for, with a grant in dollars."""
        no = Skip(
            market=snapshot.market,
            account=account,
            reason=SkipReason.NO_EXIT_ROUTE,
            detail="",
        )
        restraint = Restraint(subsidies={(snapshot.market, account): grant})
        return await self.clearing.batches(snapshot.head, [snapshot], [no], restraint)


async def taken(chain, reader):
    """Return the market of USDC against WETH as it is now."""
    found = await snapshots(await loaded(chain, reader), reader)
    return next(
        one
        for one in found.values()
        if (one.read.loan.symbol, one.read.collateral.symbol) == ("USDC", "WETH")
    )


def pledge(chain, snapshot, account):
    """Return a transaction of the hot key that waits, and makes the account healthy."""
    weth, morpho = chain.tokens["WETH"], chain.morpho.contract
    terms = chain.market(snapshot.read.id).terms
    change = morpho.transaction("supplyCollateral", terms, 10**21, account, b"")
    for made in (
        weth.transaction("transfer", HOT, 10**21),
        weth.transaction("approve", morpho.address, 2**255, sender=HOT),
    ):
        chain.node.send(made)
    attempt = Attempt(
        nonce=0,
        kind=AttemptKind.SEND,
        hash="0x1",
        raw=b"",
        fees=Fees(max_fee=10**11, priority_fee=10**9),
        gas_limit=1_000_000,
        to=checksum(morpho.address),
        calldata=change.data,
        block_number=snapshot.head.number,
    )
    return Submission(nonce=0, batch=None, attempts=(attempt,))


async def test_a_debtor_under_water_is_cleared_within_the_grant(chain, tmp_path):
    """To the unit by Morpho's event; the loss is the loan token's, the grant in dollars."""
    chain.price(WETH=1_200)
    vault = Deployer(chain.node, ADMIN).deploy(
        vaults.worlds.artifact(VAULT_BUILDS[0].name), ADMIN, [HOT]
    )
    chain.node.set_balance(HOT, 10**20)
    async with connect([chain.url], chain_id=CHAIN_ID) as reader:
        before = await taken(chain, reader)
        coin = NativeCoin(reader, wrapped=chain.tokens["WETH"].address, feed=None)
        account = min(before.liquidatable(), key=lambda one: one.health_factor).account
        debt = before.account(account)
        assert debt.collateral_base < debt.debt_base
        loan, collateral = before.read.loan.address, before.read.collateral.address
        chain.tokens["USDC"].send("transfer", vault.address, 10**15)
        place = before.clear_place
        vault.send("setLimit", loan, FAR, FAR)
        vault.send("setLossLimit", place, FAR, FAR)
        vault.send("setCounted", place, collateral, COUNTED)
        before = await taken(chain, reader)
        bench = Bench(reader, vault.address, coin, tmp_path / "keeper.sqlite")

        (made,) = await bench.batches(before, account, GRANT)
        assert len(await bench.submitter.submit([made], before.head)) == 1
        chain.node.rpc("evm_mine")
        await bench.submitter.follow(await reader.head(), lambda *_: True)
        after = await taken(chain, reader)
        entries = await bench.journal.database.write(entries_of, account)
        bench.journal.close()

    (log,) = chain.node.rpc(
        "eth_getLogs", [{"fromBlock": hex(before.head.number), "topics": ["0x" + LIQUIDATE.hex()]}]
    )
    repaid, _, seized, *_ = (int(log["data"][2 + 64 * at : 66 + 64 * at], 16) for at in range(5))
    loss = FAR - vault.call("lossLeftToday", place)
    worth = seized * before.price // 10**36
    assert seized == before.positions[account].collateral
    assert loss == repaid - worth * COUNTED // 10_000 > 0
    assert after.account(account) is None
    assert [one["action"] for one in bench.events if one["event"] == "clear"] == ["clear"]
    (entry,) = [one for one in entries if one.kind == "outcome"]
    assert '"what":"clearing"' in entry.body
    profit = next(one for one in bench.events if one["event"] == "included")["plans"][0]
    assert int(profit["profit_wei"]) == -(-loss * WAD // made.plans[0].native_base) * -1


async def test_a_grant_that_does_not_reach_is_no_clearing(chain, tmp_path):
    """The vault itself refuses a loss above what it was told that it may be."""
    chain.price(WETH=1_200)
    vault = Deployer(chain.node, ADMIN).deploy(
        vaults.worlds.artifact(VAULT_BUILDS[0].name), ADMIN, [HOT]
    )
    async with connect([chain.url], chain_id=CHAIN_ID) as reader:
        found = await taken(chain, reader)
        account = max(found.liquidatable(), key=lambda one: one.debt_base).account
        chain.tokens["USDC"].send("transfer", vault.address, 10**15)
        vault.send("setLimit", found.read.loan.address, FAR, FAR)
        vault.send("setLossLimit", found.clear_place, FAR, FAR)
        vault.send("setCounted", found.clear_place, found.read.collateral.address, COUNTED)
        found = await taken(chain, reader)
        coin = NativeCoin(reader, wrapped=chain.tokens["WETH"].address, feed=None)
        bench = Bench(reader, vault.address, coin, tmp_path / "keeper.sqlite")
        assert await bench.batches(found, account, 10**8) == []
        unpriced = replace(found, usd={})
        assert await bench.batches(unpriced, account, GRANT) == []
        assert unpriced.clear_step(account) is None
        bench.journal.close()

    (told,) = [one for one in bench.events if one["event"] == "clear"]
    assert (told["action"], told["reason"]) == ("skip", "simulation_failed")
    assert "OverLoss" in told["detail"]


async def test_a_clearing_is_simulated_after_what_waits(chain, tmp_path):
    """A transaction of ours that no block has yet makes the account healthy: nothing to clear."""
    chain.price(WETH=1_200)
    vault = Deployer(chain.node, ADMIN).deploy(
        vaults.worlds.artifact(VAULT_BUILDS[0].name), ADMIN, [HOT]
    )
    async with connect([chain.url], chain_id=CHAIN_ID) as reader:
        found = await taken(chain, reader)
        account = max(found.liquidatable(), key=lambda one: one.debt_base).account
        chain.tokens["USDC"].send("transfer", vault.address, 10**15)
        vault.send("setLimit", found.read.loan.address, FAR, FAR)
        vault.send("setLossLimit", found.clear_place, FAR, FAR)
        vault.send("setCounted", found.clear_place, found.read.collateral.address, COUNTED)
        waiting = pledge(chain, found, account)
        found = await taken(chain, reader)
        coin = NativeCoin(reader, wrapped=chain.tokens["WETH"].address, feed=None)
        bench = Bench(reader, vault.address, coin, tmp_path / "keeper.sqlite")
        (made,) = await bench.batches(found, account, GRANT)
        simulator = bench.clearing.simulator
        alone = await simulator.cleared(made.calldata, found.head)
        simulator.waiting = lambda: [waiting]
        behind = await simulator.cleared(made.calldata, found.head)
        refused = await bench.batches(found, account, GRANT)
        bench.journal.close()

    assert (isinstance(alone, Trial), isinstance(behind, str)) == (True, True)
    assert refused == []
    assert bench.events[-1]["reason"] == "simulation_failed"
