"""The complete keeper on Morpho Blue has the vault clear a small account that no sale pays for."""

from types import SimpleNamespace

import pytest

from contracts.build import VAULT_BUILDS
from keeper.chain.abi import checksum, word
from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.morpho import enter_markets
from keeper.devnet.morpho_markets import MARKETS, MorphoBorrower
from tests.chain import vault_world as vaults
from tests.chain.test_clearing_running import (
    COUNTED,
    asked,
    cleared_logs,
    clears,
    killed,
    mine_until,
    set_aside,
)
from tests.chain.test_morpho_acceptance import devnet, morpho_events

ACCOUNT = checksum("0x" + "c3" * 20)
PLEDGED, OWED, GRANT = 200, 120, 20
"""Dollars."""
GUARDIAN = """[policy]
name = "guardian"
"""
SUBSIDY = f"""
[policy.subsidy]
per_account_usd = "{GRANT}"
per_day_usd = "{GRANT}"
debt_at_most_usd = "200"

[cure]
vault = "{{}}"
clear = true
"""


@pytest.fixture
def drowned(tmp_path):
    """A small borrower under water whose collateral sells below its price, and who may clear it."""
    with devnet(tmp_path / "devnet", protocol="morpho_blue", borrowers=0) as (found, keeper):
        spec = MARKETS[0]
        small = MorphoBorrower(
            address=ACCOUNT,
            market=spec.name,
            collateral=BY_SYMBOL[spec.collateral].units_worth(PLEDGED * 10**8),
            debt=BY_SYMBOL[spec.loan].units_worth(OWED * 10**8),
        )
        enter_markets(found.morpho, [small], found.tokens)
        world = vaults.deployed(found, VAULT_BUILDS[0].name, found.morpho.contract)
        market = found.morpho.markets[spec.name]
        place = world.morpho_place(SimpleNamespace(id=bytes.fromhex(market.id[2:])))
        loan, collateral = (found.tokens[one].address for one in (spec.loan, spec.collateral))
        world.limit(loan)
        world.open_place(place, collateral, counted=COUNTED)
        first = found.prices()["WETH"]
        found.set_prices({"WETH": first * 35 // 100})
        found.set_prices({"WETH": first * 45 // 100}, leave_pools=True)
        settings = keeper.folder / "keeper.toml"
        text = settings.read_text().replace("[policy]\n", GUARDIAN)
        settings.write_text(text + SUBSIDY.format(world.vault.address))
        yield world, keeper, market, place


def test_a_guardian_clears_it_once_though_it_is_killed(drowned):
    """All collateral is the vault's, by Morpho's own event; the loss and the grant are kept."""
    world, keeper, market, place = drowned
    node, collateral = world.node, market.terms[1]
    start, before = node.block_number(), world.balance(collateral)
    node.rpc("evm_setAutomine", [False])
    keeper.failpoint = "K5"
    with keeper.running() as running:
        told = killed(running, node)
    assert clears(told, ACCOUNT) == ["clear"]
    assert set_aside(keeper) == {ACCOUNT: GRANT}

    keeper.failpoint = ""
    with keeper.running() as running:
        included = mine_until(running, node, "included", ACCOUNT)
        for _ in range(2):
            node.rpc("evm_mine")
            running.until("block", block=node.block_number())

    assert included["success"]
    assert clears(running.events, ACCOUNT) == []
    (log,) = morpho_events(world.devnet, start)
    data = bytes.fromhex(log["data"][2:])
    repaid, seized = word(data, 0), word(data, 2)
    position = world.morpho.call("position", bytes.fromhex(market.id[2:]), ACCOUNT)
    assert position[1:] == (0, 0)
    assert (
        world.balance(collateral) - before
        == seized
        == BY_SYMBOL["WETH"].units_worth(PLEDGED * 10**8)
    )
    ((account, lost),) = cleared_logs(world)
    worth = seized * market.oracle.call("price") // 10**36
    assert account == ACCOUNT
    assert lost == vaults.FAR - world.vault.call("lossLeftToday", place)
    assert lost == repaid - worth * COUNTED // 10_000 > 0
    assert lost < GRANT * BY_SYMBOL["USDC"].unit
    assert set_aside(keeper) == {ACCOUNT: GRANT}
    told = asked(keeper, "select account, kind, tier from notices order by id")
    assert told == [
        (ACCOUNT, "called", "liquidatable"),
        (ACCOUNT, "liquidated", "liquidatable"),
    ]
