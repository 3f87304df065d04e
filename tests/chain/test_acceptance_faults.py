"""One market or one price source that fails does not stop the others."""

import pytest

from keeper.devnet.aave import Listing
from keeper.devnet.aave_v30 import deploy_aave_v30
from keeper.devnet.artifacts import Deployer
from tests.chain.worlds import (
    Keeper,
    account_data,
    decisions,
    driven,
    last_decisions,
    planned_steps,
    plans_of,
)

FALL = {"WETH": 2_600 * 10**8, "LINK": 10 * 10**8}
REVERT = "0x60006000fd"
"""Code that reverts whatever it is asked."""


@pytest.fixture
def keeper(aave36, tmp_path):
    made = Keeper(tmp_path / "keeper", aave36)
    made.configure()
    aave36.set_prices(FALL)
    return made


@pytest.fixture
def other(keeper):
    """Another market on the same chain, which comes first in the settings."""
    devnet = keeper.devnet
    deployer = Deployer(devnet.node, devnet.accounts.admin)
    market = deploy_aave_v30(
        deployer, Listing(devnet.tokens, devnet.feeds, devnet.accounts.treasury)
    )
    file = keeper.folder / "keeper.toml"
    section = f"""\
[[market]]
protocol = "aave_v3"
addresses_provider = "{market.provider.address}"
from_block = {devnet.from_block}

"""
    file.write_text(file.read_text().replace("[[market]]", section + "[[market]]", 1))
    return market


def broken(keeper, contract):
    """Let a contract revert from now on."""
    keeper.devnet.node.batch([("anvil_setCode", [contract.address, REVERT]), ("evm_mine", [])])


def test_both_markets_are_read(keeper, other):
    """The premise of the other tests: as long as nothing breaks there are two."""
    events = driven(keeper, 1, "--observe")

    assert [one["markets"] for one in events if one["event"] == "block"] == [2]
    assert not [one for one in events if one["event"] == "quarantine"]


@pytest.mark.parametrize("part", ["pool", "oracle"])
def test_a_market_that_fails_is_quarantined(keeper, other, part):
    """The event says which and why, once; the other market is liquidated."""
    broken(keeper, getattr(other, part))

    events = driven(keeper, 2)

    (told,) = [one for one in events if one["event"] == "quarantine"]
    assert other.provider.address in told["market"]
    assert told["reason"]
    assert len(plans_of(events)) == len(planned_steps(events)) >= 5


@pytest.mark.parametrize(("part", "event"), [("pool", "quarantine"), ("oracle", "warning")])
def test_a_market_that_fails_later_is_told_then(keeper, other, part, event):
    """It was read at the first block; from the second on only the other one can be judged."""
    node = keeper.devnet.node
    with keeper.running("--observe") as running:
        assert running.until("block")["markets"] == 2
        broken(keeper, getattr(other, part))
        after = running.until("block", block=node.block_number())
        told = [one for one in running.events if one["event"] == event]
    assert after["accounts"] == len(keeper.devnet.borrowers)
    assert after["unhealthy"] == len(keeper.devnet.unhealthy())
    assert other.provider.address in told[0]["market"]


def test_scan_shows_the_market_that_can_be_read(keeper, other):
    """The one that cannot is told on stderr, and the exit code is that of a result."""
    broken(keeper, other.pool)

    scan = keeper.command("scan", "--all", "--json")

    assert scan.code == 0, scan.err
    assert len(scan.document["accounts"]) == len(keeper.devnet.borrowers)
    assert "quarantined" in scan.err


def test_a_price_source_that_reverts_costs_its_own_accounts_only(keeper):
    """Who holds the asset cannot be judged, by the market neither; all others are."""
    devnet = keeper.devnet
    source = devnet.feeds["WBTC"].source.address
    devnet.node.rpc("anvil_setCode", [source, REVERT])
    devnet.node.rpc("evm_mine")
    holders = {one.address for one in devnet.borrowers if "WBTC" in {**one.collateral, **one.debt}}
    others = [one.address for one in devnet.borrowers if one.address not in holders]

    scan = keeper.command("scan", "--all", "--json")
    events = driven(keeper, 3)

    assert scan.code == 0, scan.err
    told = {one["account"]: int(one["health_factor"]) for one in scan.document["accounts"]}
    number = scan.document["block"]["number"]
    said = account_data(devnet, others, number)
    assert {account: told[account] for account in others} == {
        account: words[5] for account, words in said.items()
    }
    unhealthy = {account for account, words in said.items() if words[5] < 10**18}
    assert unhealthy <= last_decisions(events).keys()
    assert [one["event"] for one in events].count("warning") == 1
    assert {one["account"] for one in decisions(events, "liquidate")} <= unhealthy
    assert len(plans_of(events)) >= 5
    assert all(not one["failure"] for one in plans_of(events))
