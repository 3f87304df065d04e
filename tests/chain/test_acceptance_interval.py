"""Blocks at an interval: thirty positions breached in one block are all taken at once."""

from collections import Counter

import pytest

from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.market import bring_up
from keeper.devnet.node import Node
from tests.chain.worlds import Keeper, hot_receipts, planned_steps, plans_of, wait_for_block

FALL = {"WETH": 2_600 * 10**8, "WBTC": 52_000 * 10**8, "LINK": 10 * 10**8}
BREACHED = 30
INTERVAL = 4
"""Seconds between blocks; a busy machine must not make the keeper miss one."""


@pytest.fixture
def ticking():
    """A market whose chain makes a block every few seconds, whatever happens."""
    with start_anvil(AnvilOptions(timestamp=1_800_000_000)) as anvil:
        node = Node(anvil.port)
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        devnet = bring_up(node, borrowers=80, seed=4)
        node.rpc("evm_setIntervalMining", [INTERVAL])
        yield devnet
        node.close()


def test_thirty_breaches_are_in_the_next_two_blocks(ticking, tmp_path):
    """Each as often as was decided, none reverted, and nothing that the keeper sent failed."""
    keeper = Keeper(tmp_path / "keeper", ticking)
    keeper.configure()
    node = ticking.node
    with keeper.running() as running:
        running.until("block")
        ticking.set_prices(FALL)
        fell = node.block_number()
        running.until("block", block=fell)
        wait_for_block(node, fell + 3)
        running.until("block", block=fell + 3)
        events = list(running.events)

    sent = {one["hash"] for one in of_block(events, "attempt", fell)}
    taken = [one for one in events if one["event"] == "included" and one["hash"] in sent]
    first = Counter(plan["account"] for one in taken for plan in one["plans"])
    decided = of_block(events, "decision", fell)
    wanted = Counter(step["account"] for step in planned_steps(decided))
    assert len(wanted) >= BREACHED
    assert first == wanted
    assert {one["block_number"] for one in taken} <= {fell + 1, fell + 2}
    assert all(int(one["status"], 16) == 1 for one in hot_receipts(ticking, fell))
    assert [one["failure"] for one in plans_of(events) if one["failure"]] == []


def of_block(events, name, number):
    return [one for one in events if one["event"] == name and one["block_number"] == number]
