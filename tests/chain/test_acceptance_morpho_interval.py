"""Blocks at an interval: a hundred positions of many markets breached in one are all taken."""

from collections import Counter

import pytest

from keeper.book.parity import SAMPLE
from keeper.devnet import local
from keeper.devnet.demo.places import MorphoPlace
from tests.chain.worlds import (
    Keeper,
    decisions,
    hot_receipts,
    planned_steps,
    plans_of,
    wait_for_block,
)
from tests.support.threaded import proxied

FALL = {"WETH": 2_550 * 10**8, "WBTC": 51_000 * 10**8, "LINK": 11 * 10**8}
BORROWERS = 286
BREACHED = 100
LINE = 10**18
QUIET = 3
INTERVAL = 4
"""Seconds between blocks; a busy machine must not make the keeper miss one."""


@pytest.fixture
def ticking(tmp_path):
    """A devnet whose chain makes a block every few seconds, and a keeper with its settings."""
    folder = tmp_path / "devnet"
    options = local.UpOptions(
        folder=folder, protocol="morpho_blue", borrowers=BORROWERS, block_time=INTERVAL
    )
    local.up(options)
    devnet = local.attach(folder)
    yield devnet, Keeper(folder, devnet)
    devnet.node.close()
    local.down(folder)


def test_a_hundred_breaches_are_in_the_next_two_blocks(ticking):
    """Over six markets: each once, none reverted, nothing that the keeper sent failed."""
    devnet, keeper = ticking
    node, place = devnet.node, MorphoPlace(devnet, devnet.morpho)
    with keeper.running() as running:
        running.until("block")
        devnet.set_prices(FALL)
        fell = node.block_number()
        running.until("block", block=fell)
        wait_for_block(node, fell + 3)
        running.until("block", block=fell + 3)
        events = list(running.events)

    healths = place.health_factors(fell)
    assert min(place.health_factors(fell - 1).values()) >= LINE
    breached = {spot for spot, health in healths.items() if health < LINE}
    told = of_block(events, "decision", fell)
    wanted = Counter((step["market"], step["account"]) for step in planned_steps(told))
    left = {(one["market"], one["account"]): one["reason"] for one in decisions(told, "skip")}
    included = [one for one in events if one["event"] == "included"]
    taken = [one for one in included if one["block_number"] <= fell + 2]
    done = Counter((p["market"], p["account"]) for one in taken for p in one["plans"])
    landed = Counter((one.market, one.account) for one in place.seizures(fell))
    assert len(wanted) >= BREACHED
    assert breached == wanted.keys() | left.keys()
    assert set(left.values()) <= {"exit_too_shallow", "dust", "below_min_profit"}
    assert {spot: done[spot] for spot in wanted} == wanted
    assert landed == Counter((p["market"], p["account"]) for p in plans_of(events))
    assert len({market for market, _ in wanted}) >= 6
    assert all(int(one["status"], 16) == 1 for one in hot_receipts(devnet, fell))
    assert [one["failure"] for one in plans_of(events) if one["failure"]] == []


def of_block(events, name, number):
    return [one for one in events if one["event"] == name and one["block_number"] == number]


def test_requests_are_stated_in_markets(ticking):
    """
    A quiet block is one query for logs and one multicall for up to 500 reads.

    The reads are 3 for each market with interest and 2 for others, 1 for each dollar feed,
    1 for each token, and 4 for each position of the sample that is held against the contracts,
    which is as large however many positions there are.
    """
    devnet, keeper = ticking
    node, markets = devnet.node, devnet.morpho.markets.values()
    settings = keeper.folder / "keeper.toml"
    feeds = sum(feed.aggregator is not None for feed in devnet.feeds.values())
    tokens = {token for one in markets for token in one.terms[:2]}
    reads = sum(3 if one.spec.interest else 2 for one in markets) + feeds + len(tokens)
    reads += SAMPLE * 4
    reads += 1  # the block's own time, which shows whose state was read
    requests = -(-reads // 500)
    with proxied(node.port) as proxy:
        own = f"ws://127.0.0.1:{node.port}"
        settings.write_text(settings.read_text().replace(own, proxy.ws_url))
        node.rpc("evm_setIntervalMining", [0])
        proxy.recording = True
        with keeper.running() as running:
            running.until("block")
            for _ in range(QUIET):
                proxy.reset()
                node.rpc("evm_mine")
                told = running.until("block", block=node.block_number())
                assert (told["accounts"], told["unhealthy"]) == (BORROWERS, 0)
                counts = Counter(proxy.counts)
                (call,) = [one for one in proxy.bodies if one["method"] == "eth_call"]
                counts.pop("eth_getBlockByNumber", None)
                assert counts == {"eth_getLogs": 1, "eth_call": requests}
                assert reads_of(call) == reads


def reads_of(call):
    """Return how many reads a multicall has: the array's length is its second word."""
    return int(call["params"][0]["data"][2 + 8 + 64 : 2 + 8 + 128], 16)
