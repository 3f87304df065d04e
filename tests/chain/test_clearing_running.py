"""A running keeper has the vault clear a small account that no sale pays for."""

import contextlib
import json
import queue
import signal
import sqlite3

import pytest

from contracts.build import VAULT_BUILDS
from keeper.chain.abi import checksum
from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.borrowers import Borrower, enter_market
from keeper.execution.vault import CLEARED_TOPIC
from tests.chain import vault_world as vaults
from tests.chain.worlds import Keeper, hot_receipts

ACCOUNT, SECOND = checksum("0x" + "c1" * 20), checksum("0x" + "c2" * 20)
COUNTED = 9_500
GUARDIAN = """name = "guardian"
[policy.subsidy]
per_account_usd = "20"
per_day_usd = "{}"
debt_at_most_usd = "200"
"""


@pytest.fixture
def drowned(tmp_path, aave36):
    """A small account under water whose collateral sells below the pool's price, and a keeper."""
    return a_world(tmp_path, aave36, [ACCOUNT], day="20")


@pytest.fixture
def two_drowned(tmp_path, aave36):
    """Two of them; the day's subsidy reaches for one, and half a dollar more."""
    return a_world(tmp_path, aave36, [ACCOUNT, SECOND], day="20.50")


def a_world(tmp_path, aave36, accounts, *, day):
    """Return the vault with small accounts under water, and a keeper that may clear them."""
    world = vaults.deployed(aave36, VAULT_BUILDS[0].name)
    weth, usdc = (aave36.tokens[symbol].address for symbol in ("WETH", "USDC"))
    small = [
        Borrower(
            address=account,
            kind="small",
            collateral={"WETH": BY_SYMBOL["WETH"].units_worth((200 + number) * 10**8)},
            debt={"USDC": BY_SYMBOL["USDC"].units_worth(120 * 10**8)},
        )
        for number, account in enumerate(accounts)
    ]
    enter_market(aave36.node, aave36.aave, aave36.tokens, small)
    first = aave36.prices()["WETH"]
    aave36.set_prices({"WETH": first * 35 // 100})
    aave36.set_prices({"WETH": first * 45 // 100}, leave_pools=True)
    collateral, debt, *_ = aave36.aave.pool.call("getUserAccountData", ACCOUNT)
    assert 0 < collateral < debt
    world.limit(usdc)
    world.open(weth, counted=COUNTED)
    keeper = Keeper(tmp_path, aave36)
    keeper.configure(more=GUARDIAN.format(day))
    with (keeper.folder / "keeper.toml").open("a") as settings:
        settings.write(f'\n[cure]\nvault = "{world.vault.address}"\nclear = true\n')
    return world, keeper


def clears(events, account=ACCOUNT):
    """Return what was told of clearing the account; others are too large or refused."""
    found = [one for one in events if one["event"] == "clear" and one["account"] == account]
    return [one["action"] for one in found]


def mine_until(running, node, name, account=ACCOUNT):
    """Mine block by block until an event of a name is about the account."""
    for _ in range(10):
        running.until("block", block=node.block_number())
        for one in running.events:
            if one["event"] == name and is_about(one, account):
                return one
        node.rpc("evm_mine")
    raise AssertionError([one["event"] for one in running.events])


def is_about(event, account):
    """Whether an event is about an account, alone or among others."""
    return account in [event.get("account"), *(one["account"] for one in event.get("accounts", ()))]


def killed(running, node):
    """Mine until the keeper has died at the point that it was told to; return what it told."""
    for _ in range(100):
        try:
            if running.next(seconds=1.5) is None:
                break
        except queue.Empty:
            node.rpc("evm_mine")
    assert running.process.wait(60) == -signal.SIGKILL
    return running.events


def cleared_logs(world):
    """Return whom the vault cleared, and the loss of each, by the vault's own logs."""
    wanted = {"address": world.vault.address, "fromBlock": "0x0"}
    logs = world.node.rpc("eth_getLogs", [{**wanted, "topics": ["0x" + CLEARED_TOPIC.hex()]}])
    return [
        (checksum("0x" + one["topics"][2][-40:]), int(one["data"][2 + 3 * 64 :], 16))
        for one in logs
    ]


def asked(keeper, query):
    """Return what the journal's file answers."""
    with contextlib.closing(sqlite3.connect(keeper.folder / "keeper.sqlite")) as file:
        return file.execute(query).fetchall()


def set_aside(keeper):
    """Return what the journal has set aside of the subsidy, in dollars by account."""
    ((document,),) = asked(keeper, "select document from margin_state")
    return {one[1]: int(one[3]) // 10**8 for one in json.loads(document)["reservations"]}


def test_a_guardian_clears_it_by_the_vault_once(drowned):
    """The collateral is the vault's, the loss within the grant, and it is not done again."""
    world, keeper = drowned
    node, place = world.node, world.aave_place()
    start = node.block_number()
    weth = world.devnet.tokens["WETH"].address
    before = world.balance(weth)

    with keeper.running() as running:
        included = mine_until(running, node, "included")
        for _ in range(3):
            node.rpc("evm_mine")
            running.until("block", block=node.block_number())
        events = list(running.events)

    assert included["success"]
    assert clears(events) == ["clear"]
    reasons = [
        one["reason"] for one in events if one["event"] == "decision" and one["account"] == ACCOUNT
    ]
    assert reasons
    assert set(reasons) <= {
        "below_min_profit",
        "gas_too_expensive",
        "dust",
        "exit_too_shallow",
        "in_flight",
    }
    assert world.balance(weth) > before
    assert world.devnet.aave.pool.call("getUserAccountData", ACCOUNT)[0] == 0
    lost = vaults.FAR - world.vault.call("lossLeftToday", place)
    assert 0 < lost <= 20 * 10**8
    # What an earlier test sent may come back to the pool when its blocks are undone.
    ours = {one["hash"] for one in events if one["event"] == "attempt"}
    sent = [one for one in hot_receipts(world.devnet, start + 1) if one["transactionHash"] in ours]
    assert [one["to"] for one in sent].count(world.vault.address.lower()) == 1


def test_a_dry_run_shows_it_and_an_observer_what_it_would_do(drowned):
    """Neither touches the account; the paper books what it costs."""
    world, keeper = drowned
    done = keeper.command("run", "--dry-run", "--once", "--json")
    assert done.code == 0, done.err
    assert clears(done.events) == ["clear"]
    (paper,) = [one for one in done.events if one["event"] == "paper" and one["account"] == ACCOUNT]
    assert int(paper["net_profit_wei"]) < 0

    done = keeper.command("run", "--observe", "--once", "--json")
    assert done.code == 0, done.err
    assert clears(done.events) == ["would_clear"]
    assert world.vault.call("lossLeftToday", world.aave_place()) == vaults.FAR
    assert world.devnet.aave.pool.call("getUserAccountData", ACCOUNT)[0] > 0


def test_a_killed_keeper_has_the_rest_of_the_subsidy_and_not_the_whole(two_drowned):
    """What an account was granted is gone for the day, whoever starts; more is the owner's word."""
    world, keeper = two_drowned
    node, place = world.node, world.aave_place()
    keeper.failpoint = "K11"
    with keeper.running() as running:
        events = killed(running, node)
    assert clears(events) == ["clear"]
    assert "clear" not in clears(events, SECOND)
    assert set_aside(keeper) == {ACCOUNT: 20}
    ((account, lost),) = cleared_logs(world)
    assert account == ACCOUNT

    keeper.failpoint = ""
    with keeper.running() as running:
        told = mine_until(running, node, "clear", SECOND)
        events = list(running.events)
        running.process.kill()
    assert (told["action"], told["reason"]) == ("skip", "simulation_failed")
    assert "OverLoss" in told["detail"]  # by the vault, which was told the grant
    assert "50000000" in told["detail"]
    assert not clears(events)
    assert cleared_logs(world) == [(ACCOUNT, lost)]

    settings = keeper.folder / "keeper.toml"
    settings.write_text(settings.read_text().replace('day_usd = "20.50"', 'day_usd = "40"'))
    with keeper.running() as running:
        assert mine_until(running, node, "included", SECOND)["success"]
        assert not clears(running.events)
    assert set_aside(keeper) == {ACCOUNT: 20, SECOND: 20}
    (first, second) = cleared_logs(world)
    assert (first, second[0]) == ((ACCOUNT, lost), SECOND)
    assert world.vault.call("lossLeftToday", place) == vaults.FAR - lost - second[1]


def test_killed_at_every_step_of_a_clearing_it_is_done_once(drowned):
    """Signed, recorded, sent, mined: one transaction, one grant, and one line of the story."""
    world, keeper = drowned
    node, place = world.node, world.aave_place()
    # Liquidations leave before: where none pays, the first that is signed is the clearing.
    alone = ("--set", "policy.min_profit_usd=1000000")
    for point in ("K3", "K4", "K5", "K8"):
        keeper.failpoint = point
        with keeper.running(*alone) as running:
            killed(running, node)
        assert set_aside(keeper) == {ACCOUNT: 20}, point
    keeper.failpoint = ""
    with keeper.running(*alone) as running:
        for _ in range(3):
            running.until("block", block=node.block_number())
            node.rpc("evm_mine")
        assert not clears(running.events)

    ((account, lost),) = cleared_logs(world)
    assert account == ACCOUNT
    assert set_aside(keeper) == {ACCOUNT: 20}
    assert world.vault.call("lossLeftToday", place) == vaults.FAR - lost
    assert asked(keeper, "select borrower from intents").count((ACCOUNT,)) == 1
    told = keeper.command("explain", ACCOUNT)
    assert told.out.count("cleared by the vault") == 1, told.out + told.err
    assert keeper.command("audit", "verify").code == 0
