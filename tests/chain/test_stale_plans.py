"""A price moves while a transaction waits: what fails by that is no defect of market or route."""

import contextlib

import pytest

from keeper.devnet import local
from tests.chain.worlds import Keeper, decisions, plans_of

USD, GWEI = 10**8, 10**9
FIRST = {"fees": {"maxFeePerGas": hex(9_000 * GWEI), "maxPriorityFeePerGas": hex(GWEI)}}
BLOCKS = 3


@contextlib.contextmanager
def devnet(folder, **options):
    """A devnet of the given options, with a keeper whose settings it wrote."""
    local.up(local.UpOptions(folder=folder, **options))
    try:
        found = local.attach(folder)
        try:
            yield found, Keeper(folder, found)
        finally:
            found.node.close()
    finally:
        local.down(folder)


def submit(found, symbol, dollars):
    """Hand the node a feed's update that comes first in the next block."""
    feed = found.feeds[symbol].aggregator
    update = feed.transaction("submit", feed.call("latestRound") + 1, dollars * USD)
    found.node.rpc("eth_sendTransaction", [update.as_json() | FIRST["fees"]])


@pytest.mark.parametrize("protocol", ["morpho_blue", "aave_v3"])
def test_what_a_price_broke_on_the_way_is_liquidated_in_the_next_block(tmp_path, protocol):
    """
    The second half of a crash reaches the block ahead of the first half's liquidations.

    Collateral falls by another eighth, so that what they were to take is more than there is, and
    they revert with words of the market's own. Nobody is left alone for that.
    """
    with devnet(tmp_path / "devnet", protocol=protocol, borrowers=22) as (found, keeper):
        node = found.node
        with keeper.running() as running:
            running.until("block")
            node.rpc("evm_setAutomine", [False])
            found.set_prices({"WETH": 2_700 * USD})
            running.until("block", block=node.block_number())
            submit(found, "WETH", 2_350)
            node.rpc("evm_mine")
            moved = node.block_number()
            for _ in range(BLOCKS):
                running.until("block", block=node.block_number())
                node.rpc("evm_mine")
            running.until("block", block=node.block_number())
            events = running.events

    broken = {one["account"] for one in plans_of(events) if one["failure"]}
    landed = {one["account"] for one in plans_of(events) if not one["failure"]}
    waiting = [one for one in events if one["event"] == "decision" and one["block_number"] >= moved]
    assert broken
    assert [one for one in waiting if one["reason"] == "cooling_down"] == []
    assert [one for one in events if one["event"] in {"warning", "breaker"}] == []
    assert broken <= landed | {one["account"] for one in decisions(waiting, "skip")}
    assert broken & landed
