"""What a block costs in requests: a constant, whatever the number of borrowers."""

from collections import Counter

import pytest

from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.market import bring_up
from keeper.devnet.node import Node
from tests.chain.worlds import Keeper
from tests.support.threaded import proxied

QUIET = 5


def of_quiet_blocks(borrowers: int, folder) -> list[Counter[str]]:
    """Return what each of some blocks in which nothing happens asks the node."""
    with start_anvil(AnvilOptions(timestamp=1_800_000_000)) as anvil:
        node = Node(anvil.port)
        devnet = bring_up(node, borrowers=borrowers)
        with proxied(anvil.port) as proxy:
            keeper = Keeper(folder / f"keeper-{borrowers}", devnet, endpoint=proxy.ws_url)
            keeper.configure()
            found = []
            with keeper.running() as running:
                running.until("block")
                node.rpc("evm_mine")
                running.until("block", block=node.block_number())  # it hears of blocks by now
                for _ in range(QUIET):
                    proxy.reset()
                    node.rpc("evm_mine")
                    told = running.until("block", block=node.block_number())
                    assert (told["accounts"], told["unhealthy"]) == (borrowers + 1, 0)
                    counts = Counter(proxy.counts)
                    # By the moment, a block is asked for besides being announced.
                    assert counts.pop("eth_getBlockByNumber", 0) <= 1
                    found.append(counts)
        node.close()
    return found


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("requests")
    return {borrowers: of_quiet_blocks(borrowers, folder) for borrowers in (30, 300)}


def test_a_quiet_block_costs_the_same_requests_each_time(counted):
    """Nothing creeps in over time."""
    for blocks in counted.values():
        assert all(one == blocks[0] for one in blocks)


def test_ten_times_the_borrowers_cost_no_request_more(counted):
    """The block's logs and one multicall; no more."""
    few, many = counted[30][-1], counted[300][-1]

    assert few == many == {"eth_getLogs": 1, "eth_call": 1}
