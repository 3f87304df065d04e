"""A running keeper cures whom it is told to: live, after ``kill -9``, in a dry run, observing."""

import contextlib
import json
import sqlite3

import pytest

from contracts.build import VAULT_BUILDS
from keeper.cli.words import decimal
from keeper.domain.units import WAD
from tests.chain import vault_world as vaults
from tests.chain.vault_world import FAR
from tests.chain.worlds import Keeper


@pytest.fixture
def sinking(tmp_path, aave36):
    """An account just above the line, listed to be cured, and a keeper that may cure it."""
    world = vaults.deployed(aave36, VAULT_BUILDS[0].name)
    people = [one.address for one in aave36.borrowers if one.kind == "plain"]
    account = max(people, key=world.health)
    tokens = {symbol: aave36.tokens[symbol].address for symbol in ("WETH", "USDC")}
    for token in tokens.values():
        world.limit(token)
        world.admit(world.aave_place(), account, token, below=FAR, least=127 * WAD // 100)
    aave36.set_prices({"WETH": 3_000 * 10**8 * 102 * 10**16 // world.health(account)})
    assert WAD < world.health(account) < 103 * WAD // 100
    keeper = Keeper(tmp_path, aave36)
    keeper.configure()
    with (keeper.folder / "keeper.toml").open("a") as settings:
        settings.write(
            f'\n[cure]\nvault = "{world.vault.address}"\n'
            f'[[cure.account]]\naccount = "{account}"\ntier = "urgent"\n'
        )
    return world, keeper, account


def cures(events, action):
    return [one for one in events if one["event"] == "cure" and one["action"] == action]


def about(running, name, account):
    """Return the next event of a name that is about an account."""
    while True:
        event = running.until(name)
        if account in [one["account"] for one in event["accounts"]]:
            return event


def test_it_is_cured_once_whatever_happens_to_the_keeper(sinking):
    """The health is on the chain afterwards; after ``kill -9`` nothing is done twice."""
    world, keeper, account = sinking
    node = world.node
    with keeper.running() as running:
        about(running, "attempt", account)
        running.process.kill()
        told = cures(running.events, "cure")
    assert [(one["action"], one["account"], one["tier"]) for one in told] == [
        ("cure", account, "urgent")
    ]
    node.rpc("evm_mine")
    assert world.health(account) >= 1_287 * WAD // 1_000

    with keeper.running() as running:
        included = about(running, "included", account)
        for _ in range(4):
            node.rpc("evm_mine")
            running.until("block", block=node.block_number())
    with contextlib.closing(sqlite3.connect(keeper.folder / "keeper.sqlite")) as file:
        calls = file.execute("select account, kind from notices order by id").fetchall()
    assert [kind for whose, kind in calls if whose == account] == ["called", "cured"]
    assert included["success"]
    assert [one["failure"] for one in included["plans"] if one["account"] == account] == [""]
    assert not cures(running.events, "cure")
    spent = sum(
        FAR - world.vault.call("leftToday", world.devnet.tokens[one].address)
        for one in ("WETH", "USDC")
    )
    assert spent > 0
    story = keeper.command("explain", account)
    amount = decimal(int(spent), 6)
    assert story.out.count(f"cured by the keeper with {amount} USDC in ") == 1, story.out


def test_a_dry_run_says_it_and_spends_nothing(sinking):
    """The event is the live one's; the ledger books the gas as a cure's, not a liquidation's."""
    world, keeper, account = sinking
    done = keeper.command("run", "--dry-run", "--once", "--json")

    assert done.code == 0, done.err
    (told,) = cures(done.events, "cure")
    assert told["account"] == account
    total = next(one for one in done.events if one["event"] == "paper_total")
    assert total["cures"] == 1
    assert world.health(account) < 103 * WAD // 100


def test_an_observer_only_says_what_it_would_do(sinking):
    """There is no key, and nothing is made."""
    world, keeper, account = sinking
    done = keeper.command("run", "--observe", "--once", "--json")

    assert done.code == 0, done.err
    (told,) = cures(done.events, "would_cure")
    assert (told["account"], told["gas_cost_wei"]) == (account, None)
    assert "paper" not in json.dumps(done.events)
    assert world.health(account) < 103 * WAD // 100
