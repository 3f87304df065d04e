"""A running keeper has the vault clear a small account that no sale pays for."""

import pytest

from contracts.build import VAULT_BUILDS
from keeper.chain.abi import checksum
from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.borrowers import Borrower, enter_market
from tests.chain import vault_world as vaults
from tests.chain.worlds import Keeper, hot_receipts

ACCOUNT = checksum("0x" + "c1" * 20)
COUNTED = 9_500
GUARDIAN = """name = "guardian"
[policy.subsidy]
per_account_usd = "20"
per_day_usd = "30"
"""


@pytest.fixture
def drowned(tmp_path, aave36):
    """A small account under water whose collateral sells below the pool's price, and a keeper."""
    world = vaults.deployed(aave36, VAULT_BUILDS[0].name)
    weth, usdc = (aave36.tokens[symbol].address for symbol in ("WETH", "USDC"))
    small = Borrower(
        address=ACCOUNT,
        kind="small",
        collateral={"WETH": BY_SYMBOL["WETH"].units_worth(200 * 10**8)},
        debt={"USDC": BY_SYMBOL["USDC"].units_worth(120 * 10**8)},
    )
    enter_market(aave36.node, aave36.aave, aave36.tokens, [small])
    first = aave36.prices()["WETH"]
    aave36.set_prices({"WETH": first * 35 // 100})
    aave36.set_prices({"WETH": first * 45 // 100}, leave_pools=True)
    collateral, debt, *_ = aave36.aave.pool.call("getUserAccountData", ACCOUNT)
    assert 0 < collateral < debt
    world.limit(usdc)
    world.open(weth, counted=COUNTED)
    keeper = Keeper(tmp_path, aave36)
    keeper.configure(more=GUARDIAN)
    with (keeper.folder / "keeper.toml").open("a") as settings:
        settings.write(f'\n[cure]\nvault = "{world.vault.address}"\nclear = true\n')
    return world, keeper


def clears(events):
    """Return what was told of clearing the account; others are too large or refused."""
    found = [one for one in events if one["event"] == "clear" and one["account"] == ACCOUNT]
    return [one["action"] for one in found]


def mine_until(running, node, name):
    """Mine block by block until an event of a name is about the account."""
    for _ in range(10):
        running.until("block", block=node.block_number())
        for one in running.events:
            if one["event"] == name and ACCOUNT in [who["account"] for who in one["accounts"]]:
                return one
        node.rpc("evm_mine")
    raise AssertionError([one["event"] for one in running.events])


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
