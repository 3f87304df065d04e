"""Limits that the owner sets on chain bind every operator and every source of money."""

import pytest

from keeper.devnet.assets import BY_SYMBOL
from keeper.domain.units import BPS
from tests.chain import executor_world as worlds
from tests.chain.test_executor import FLASH, LOAN, SWAP, fallen, ready, step_of, world
from tests.support.undoing import undo

__all__ = ["fallen", "ready", "world"]

FUNDED = [
    (LOAN, "one hop"),
    (LOAN, "two hops"),
    (SWAP, "one hop"),
    (SWAP, "two hops"),
    (FLASH, "one hop"),
]


def brought_bps(world, report) -> int:
    """Return what a sale brought of the collateral's value by the pool's oracle, rounded down."""
    oracle = world.devnet.aave.oracle
    units = {world.address(symbol): asset.unit for symbol, asset in BY_SYMBOL.items()}
    price_in = oracle.call("getAssetPrice", report.receive_token)
    price_out = oracle.call("getAssetPrice", report.spend_token)
    worth = report.received * price_in // units[report.receive_token]
    value = worth * units[report.spend_token] // price_out
    return (report.spent + report.profit) * BPS // value


@pytest.mark.parametrize(("funding", "name"), FUNDED)
def test_a_sale_below_the_owners_floor_is_undone(world, funding, name):
    """
    A stolen operator key cannot sell to itself at its own price, whoever lends the money.

    The floor holds to the basis point: one more than the sale brings is refused.
    """
    step, owner = step_of(world, funding, name), world.devnet.accounts.owner
    before = world.node.rpc("evm_snapshot")
    _, (report,) = world.run(step)
    brought = brought_bps(world, report)
    undo(world.node, before)
    world.executor.send("setMinSale", brought + 1, sender=owner)

    refusal = world.refusal(step)
    world.executor.send("setMinSale", brought, sender=owner)
    _, (allowed,) = world.run(step)

    assert "SaleBelowFloor" in refusal
    assert allowed.failure == ""
    assert allowed.profit > 0


@pytest.mark.parametrize("funding", [LOAN, FLASH])
def test_where_nothing_is_sold_the_floor_binds_the_lenders_fee(world, funding):
    """
    Debt and collateral of one token have no price between them, but a loan has one.

    A stolen operator key could borrow from a dear pool of its own and pay each bonus as the fee.
    """
    step, owner = step_of(world, funding, "same asset"), world.devnet.accounts.owner
    before = world.node.rpc("evm_snapshot")
    _, (report,) = world.run(step)
    brought = (report.spent + report.profit) * BPS // report.received
    undo(world.node, before)
    world.executor.send("setMinSale", brought + 1, sender=owner)

    refusal = world.refusal(step)
    world.executor.send("setMinSale", brought, sender=owner)
    greedy = world.refusal(step.with_(borrow=step.borrow * 2))
    _, (allowed,) = world.run(step)

    assert "SaleBelowFloor" in refusal
    assert "SaleBelowFloor" in greedy
    assert allowed.failure == ""


def test_an_operator_gives_the_builder_no_more_than_the_owner_lets_it(world):
    """A stolen operator key cannot pay the whole profit to a builder of its own."""
    step, owner = step_of(world, LOAN, "same asset"), world.devnet.accounts.owner
    world.executor.send("setMaxBuilderShare", 2_000, sender=owner)

    assert "BadBuilderShare(2001)" in world.refusal(step, share=2_001)
    _, (report,) = world.run(step, share=2_000)
    assert report.profit > 0


@pytest.mark.parametrize("setter", ["setMaxBuilderShare", "setMinSale"])
def test_only_the_owner_sets_limits_and_none_above_the_whole(world, setter):
    """An operator that could lift its own limit would have none."""
    who = world.devnet.accounts
    for caller, bps, reason in ((who.hot, 0, "NotOwner"), (who.owner, BPS + 1, "BadShare")):
        made = world.executor.transaction(setter, bps, sender=caller)
        assert reason in worlds.refusal(world.node, made)


def test_limits_are_there_from_the_first_block(world):
    """A cold owner need not act for an executor to be bounded: they are set at deployment."""
    assert world.executor.call("maxBuilderShareBps") == BPS
    assert world.executor.call("minSaleBps") == 0
    assert world.executor.call("VERSION") == 2
