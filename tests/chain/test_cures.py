"""Cures on real contracts, through the journal: made once per episode, paid by the vault."""

from dataclasses import dataclass, field, replace

import pytest

from contracts.build import VAULT_BUILDS
from keeper.chain.abi import checksum, selector
from keeper.chain.reader import NodeReader, connect
from keeper.config.curing import CureLimit
from keeper.devnet.artifacts import Deployer
from keeper.devnet.market import hot_key
from keeper.domain.cure import Listed
from keeper.domain.errors import NotBroadcast
from keeper.domain.submission import Fees, Submission
from keeper.domain.units import WAD
from keeper.execution.everywhere import SendsEverywhere
from keeper.execution.fees import FeeOracle, FeePolicy
from keeper.execution.purse import Purse
from keeper.execution.results import plan_outcomes
from keeper.execution.signer import LocalSigner, Mandate, Unsigned
from keeper.execution.submitter import NodeSubmitter
from keeper.execution.tracker import Tracker
from keeper.execution.vault import CURE_SIGNATURE
from keeper.execution.vault_simulator import VaultSimulator
from keeper.stages.curing import Curing, Terms
from keeper.storage.cures import was_cured
from keeper.storage.journal import Journal
from tests.chain import vault_world as vaults
from tests.chain.morpho_world import ADMIN, loaded, running_world, snapshots
from tests.chain.test_advice import aave_snapshot
from tests.chain.vault_world import FAR
from tests.support.undoing import undo

CHAIN_ID = 31337
TARGET = 115 * WAD // 100
DAY = 86_400
HOT = checksum(LocalSigner(bytes.fromhex(hot_key()[2:]), CHAIN_ID).address)


@dataclass
class Ward:
    """One listed account, and the keeper that looks after it."""

    reader: NodeReader
    vault: str
    account: str
    path: object
    events: list = field(default_factory=list)
    standing: tuple = ("urgent", 1)

    def wake(self, **changes):
        """Start a keeper on the journal, as after a restart."""
        key = bytes.fromhex(hot_key()[2:])
        fees = FeeOracle(self.reader, CHAIN_ID, FeePolicy())
        mandate = Mandate(
            targets=frozenset(),
            selector=b"none",
            max_fee=FeePolicy().max_fee,
            others=frozenset([(checksum(self.vault), selector(CURE_SIGNATURE))]),
        )
        signer = LocalSigner(key, CHAIN_ID, mandate)
        self.journal = Journal.open(self.path, chain_id=CHAIN_ID, sender=signer.address, init=True)
        self.submitter = NodeSubmitter(
            signer=signer,
            node=SendsEverywhere(self.reader.rpc),
            tracker=Tracker(
                chain=self.reader,
                journal=self.journal,
                sender=signer.address,
                outcomes=plan_outcomes,
                emit=self.events.append,
                confirmations=2,
            ),
            fees=fees,
        )
        terms = Terms(
            max_gas=changes.pop("max_gas", WAD),
            holds_seconds=DAY,
            deadline_seconds=180,
            tolerance_bps=100,
        )
        facts = {
            "purse": Purse(
                chain=self.reader,
                vault=checksum(self.vault),
                limit_of=changes.pop("limit_of", lambda _: None),
            ),
            "simulator": VaultSimulator(
                chain=self.reader, vault=checksum(self.vault), operator=signer.address
            ),
            "accounts": [Listed(account=self.account, market=None, tier="urgent", target=TARGET)],
            "terms": terms,
            "fees": fees,
            "cured": self._cured,
            "emit": self.events.append,
        }
        self.curing = Curing(**facts | changes)
        return self

    async def _cured(self, subject, episode):
        return await self.journal.database.write(was_cured, checksum(self.vault), subject, episode)

    async def block(self, taken):
        """Do one block's work; return what was sent."""
        in_flight = self.submitter.in_flight()
        made = await self.curing.batches(taken.head, [taken], in_flight, lambda _: self.standing)
        return list(await self.submitter.submit(made, taken.head)) if made else []

    def told(self):
        """Return what was told of cures: the action, and the reason of none."""
        found = [one for one in self.events if one["event"] == "cure"]
        return [one.get("reason", one["action"]) for one in found]


@pytest.fixture
async def reader(aave36):
    async with connect([f"http://127.0.0.1:{aave36.node.port}"], chain_id=CHAIN_ID) as made:
        yield made


@pytest.fixture
def world(aave36):
    return vaults.deployed(aave36, VAULT_BUILDS[0].name)


@pytest.fixture
def ward(world, reader, tmp_path):
    """A plain borrower, listed for everything."""
    account = next(one.address for one in world.devnet.borrowers if one.kind == "plain")
    for symbol in ("WETH", "USDC"):
        token = world.devnet.tokens[symbol].address
        world.limit(token)
        world.admit(world.aave_place(), account, token)
    made = Ward(reader, world.vault.address, account, tmp_path / "keeper.sqlite").wake()
    yield made
    made.journal.close()


async def test_an_account_in_need_is_cured_once_per_episode(world, ward, reader):
    """Sent, followed and booked as a liquidation is; a restart does not repeat it."""
    taken = await aave_snapshot(world.devnet, reader)
    (sent,) = await ward.block(taken)
    assert ward.told() == ["cure"]
    assert await ward.block(await aave_snapshot(world.devnet, reader)) == []

    world.node.rpc("evm_mine")
    await ward.submitter.follow(await reader.head(), lambda *_: True)

    (included,) = [one for one in ward.events if one["event"] == "included"]
    assert [one["failure"] for one in included["plans"]] == [""]
    assert int(included["gas_cost_wei"]) == -int(included["net_profit_wei"])
    assert int(included["gas_used"]) <= sent.gas_limit
    assert sent.plans[0].spend_token == world.devnet.tokens["USDC"].address  # the cheapest
    later = await aave_snapshot(world.devnet, reader)
    found = later.advice(ward.account, TARGET, sent.deadline - 180 + DAY)
    assert TARGET - WAD // 10**5 <= found.untreated <= TARGET + WAD // 10**5

    ward.journal.close()
    ward.wake()
    world.devnet.set_prices({"WETH": 2_000 * 10**8})
    again = await aave_snapshot(world.devnet, reader)
    await ward.submitter.reconcile(await reader.head())
    assert await ward.block(again) == []
    assert ward.told()[-1] == "cured_already"

    ward.standing = ("urgent", 2)
    assert len(await ward.block(again)) == 1
    world.node.rpc("evm_mine")  # while a block is being made, a call may see half of it
    assert world.health(ward.account) > 0


async def test_the_next_best_is_taken_where_money_or_limits_do_not_reach(world, ward, reader):
    """The vault's balance, the vault's limits and the settings' are all looked at."""
    usdc, weth = (world.devnet.tokens[one].address for one in ("USDC", "WETH"))
    taken = await aave_snapshot(world.devnet, reader)
    best, second = taken.advice(ward.account, TARGET, taken.head.timestamp + DAY).cures
    assert (best.token, second.token) == (usdc, weth)
    for at_most in (
        lambda: world.limit(usdc, each=best.amount - 1),
        lambda: world.limit(usdc, day=best.amount - 1),
        lambda: world.owned("setAccountLimit", ward.account, usdc, best.amount - 1),
        lambda: world.owned("withdraw", usdc, ADMIN, world.balance(usdc) - best.amount + 1),
    ):
        kept = world.node.rpc("evm_snapshot")
        at_most()
        made = await ward.curing.batches(await reader.head(), [taken], (), lambda _: ward.standing)
        assert [one.plans[0].spend_token for one in made] == [weth]
        undo(world.node, kept)
    one = 10**6
    limit = CureLimit(token=usdc, per_transaction=1, per_day=1, per_account=1)
    ward.journal.close()
    ward.wake(limit_of=lambda token: limit if token == usdc else None)
    made = await ward.curing.batches(taken.head, [taken], (), lambda _: ward.standing)
    assert best.amount > one
    assert [each.plans[0].spend_token for each in made] == [weth]


async def test_why_there_is_no_cure_is_told_once(world, ward, reader):
    """No money, not listed, gas that costs too much, a vault that would refuse."""
    paused = True
    for spoil, changes, reason in (
        (
            lambda: [world.limit(t.address, each=0) for t in world.devnet.tokens.values()],
            {},
            "no_money",
        ),
        (
            lambda: world.owned("setListing", world.aave_place(), ward.account, 0, 0),
            {},
            "not_listed",
        ),
        (
            lambda: world.owned("setListing", world.aave_place(), ward.account, WAD // 2, 1),
            {},
            "not_listed",
        ),
        (lambda: None, {"max_gas": 1}, "gas_too_expensive"),
        (lambda: world.owned("setPaused", paused), {}, "simulation_failed"),
    ):
        kept = world.node.rpc("evm_snapshot")
        ward.journal.close()
        ward.wake(**changes)
        ward.events.clear()
        spoil()
        for _ in range(2):
            taken = await aave_snapshot(world.devnet, reader)
            assert await ward.block(taken) == []
        assert ward.told() == [reason]
        undo(world.node, kept)


async def test_nobody_is_cured_above_his_tier_or_without_a_call(world, ward, reader):
    """Tiers are the margin calls' to say: without an episode nothing is done."""
    taken = await aave_snapshot(world.devnet, reader)
    for standing in (None, ("healthy", 0), ("watch", 1), ("call", 1)):
        ward.standing = standing
        assert await ward.block(taken) == []
    assert ward.told() == []


async def test_an_observer_tells_and_a_dry_run_books(world, ward, reader):
    """Neither sends; each says it once."""
    taken = await aave_snapshot(world.devnet, reader)
    observer = {"simulator": None, "cured": None}
    for changes, told in ((observer, "would_cure"), ({"cured": None}, "cure")):
        ward.journal.close()
        ward.wake(**changes)
        ward.events.clear()
        first = await ward.curing.batches(taken.head, [taken], (), lambda _: ward.standing)
        again = await ward.curing.batches(taken.head, [taken], (), lambda _: ward.standing)
        assert len(first) == (told == "cure")
        assert again == []
        assert ward.told()[0] == told
        assert "would_cure" not in ward.told()[1:]


async def test_a_cure_that_waits_is_cancelled_when_the_account_is_well(world, ward, reader):
    """The vault would refuse it and the gas be lost; nobody else's cure is paid twice."""
    world.node.rpc("evm_setAutomine", [False])
    taken = await aave_snapshot(world.devnet, reader)
    assert await ward.block(taken)
    health = taken.account(ward.account)
    well = replace(health, health_factor=FAR)
    assert ward.curing.still_needs(health)
    assert not ward.curing.still_needs(well)

    await ward.submitter.follow(taken.head, lambda market, account: ward.curing.still_needs(well))
    world.node.rpc("evm_mine")
    await ward.submitter.follow(await reader.head(), lambda *_: False)

    (included,) = [one for one in ward.events if one["event"] == "included"]
    assert included["kind"] == "cancel"
    ward.standing = ("urgent", 1)
    assert await ward.block(await aave_snapshot(world.devnet, reader))


async def test_the_signer_signs_the_vaults_cure_and_nothing_else_of_it(ward, reader):
    """Not a withdrawal, and not a cure at another address."""
    fees = (await reader.head()).base_fee
    signer = ward.submitter.signer
    for to, function in (
        (ward.vault, "withdraw(address,address,uint256)"),
        (ADMIN, CURE_SIGNATURE),
    ):
        wanted = Unsigned(
            nonce=0,
            to=checksum(to),
            calldata=selector(function) + bytes(32),
            gas_limit=100_000,
            fees=Fees(max_fee=fees, priority_fee=1),
        )
        with pytest.raises(NotBroadcast):
            signer.sign(wanted)


@pytest.fixture(scope="module")
def chain():
    yield from running_world()


async def test_a_debtor_on_morpho_is_cured(chain, tmp_path):
    """The market is the place; the cheapest way is to repay."""
    kept = chain.node.rpc("evm_snapshot")
    owner = ADMIN
    vault = Deployer(chain.node, ADMIN).deploy(
        vaults.worlds.artifact(VAULT_BUILDS[0].name), owner, [HOT]
    )
    chain.node.set_balance(HOT, 10**20)
    async with connect([chain.url], chain_id=CHAIN_ID) as reader:
        taken = next(
            one
            for one in (await snapshots(await loaded(chain, reader), reader)).values()
            if one.read.loan.symbol == "USDC" and one.read.collateral.symbol == "WETH"
        )
        account = min(taken.accounts(), key=lambda one: one.health_factor).account
        loan = taken.read.loan.address
        cure = taken.advice(account, TARGET, taken.head.timestamp + DAY).cures[0]
        chain.tokens["USDC"].send("transfer", vault.address, 2 * cure.amount)
        place = taken.cure_step(account, cure).place
        vault.send("setListing", place, account, FAR, WAD)
        vault.send("setLimit", loan, FAR, FAR)
        vault.send("setAccountLimit", account, loan, FAR)
        ward = Ward(reader, vault.address, account, tmp_path / "keeper.sqlite").wake()
        taken = (await snapshots(await loaded(chain, reader), reader))[taken.read.id]
        assert len(await ward.block(taken)) == 1
        chain.node.rpc("evm_mine")
        await ward.submitter.follow(await reader.head(), lambda *_: True)
        after = (await snapshots(await loaded(chain, reader), reader))[taken.read.id]
        ward.journal.close()

    assert after.account(account).health_factor >= TARGET
    assert ward.told() == ["cure"]
    undo(chain.node, kept)


async def test_a_cure_is_simulated_after_what_waits(world, ward, reader):
    """A transaction of ours that no block has yet repays the debt: nothing is left to cure."""
    taken = await aave_snapshot(world.devnet, reader)
    (sent,) = await ward.block(taken)
    usdc, hot = world.devnet.tokens["USDC"], world.devnet.accounts.hot
    pool = world.devnet.aave.pool
    usdc.send("transfer", hot, 10**13)
    usdc.send("approve", pool.address, 2**255, sender=hot)
    repayment = pool.transaction("repay", usdc.address, 10**12, 2, ward.account)
    attempt = replace(
        ward.submitter.tracker.book[0].newest,
        to=checksum(pool.address),
        calldata=repayment.data,
        gas_limit=1_000_000,
    )
    waiting = [Submission(nonce=0, batch=None, attempts=(attempt,))]
    simulator = VaultSimulator(chain=reader, vault=checksum(world.vault.address), operator=hot)
    head = await reader.head()

    alone = await simulator.tried(sent.calldata, head)
    simulator.waiting = lambda: waiting
    behind = await simulator.tried(sent.calldata, head)

    assert isinstance(alone, int)
    assert isinstance(behind, str)
