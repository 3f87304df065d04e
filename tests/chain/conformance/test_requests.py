"""What a block costs in requests: nothing for a position, nothing for dust."""

from collections import Counter

from keeper.chain.reader import connect
from tests.chain.conformance.books import advanced, fall, followed
from tests.chain.conformance.keepers import configured
from tests.support.threaded import proxied

MORE = 60
QUIET = {"eth_getLogs": 1, "eth_call": 1}
DEAR = 10**15
"""A price of gas at which no bonus pays, wei."""


async def test_a_quiet_block_costs_no_more_for_more_positions(world):
    """One query for logs, one call for everything else, before and after many more came."""
    node = world.devnet.node
    with proxied(node.port) as proxy:
        async with connect([proxy.url]) as reader:
            book, few = await followed(reader, world)
            costs, sizes = [], []
            for _ in range(2):
                node.rpc("evm_mine")
                head = await reader.head()
                proxy.reset()
                snapshots = await book.advance(head)
                costs.append(Counter(proxy.counts))
                sizes.append(sum(len(one.accounts()) for one in snapshots))
                if len(costs) == 1:
                    world.populate(MORE)
                    await advanced(book, reader)
            assert costs == [QUIET, QUIET]
            assert sizes[1] >= sizes[0] + MORE
            assert sum(len(one.accounts()) for one in few) == sizes[0]


def test_dust_costs_no_request(world, tmp_path):
    """Unhealthy accounts that do not pay: only the next block's time is asked for."""
    node = world.devnet.node
    with proxied(node.port) as proxy:
        keeper = configured(tmp_path / "keeper", world.devnet, world, endpoint=proxy.ws_url)
        with keeper.running("--dry-run") as running:
            running.until("block")
            proxy.reset()
            node.rpc("anvil_setNextBlockBaseFeePerGas", [hex(DEAR)])
            fall(world, 1)
            told = running.until("block", block=node.block_number())
            counts = Counter(proxy.counts)

    assert told["unhealthy"] > 0
    reasons = {
        one["reason"]
        for one in running.events
        if one["event"] == "decision" and one["block_number"] == told["block_number"]
    }
    assert reasons <= {"dust", "below_min_profit", "no_collateral"}
    asked = counts.pop("eth_getBlockByNumber", 0)
    # Whoever got better by the move may have been liquidated: the block's own logs say it.
    assert counts == QUIET
    assert asked <= 2
