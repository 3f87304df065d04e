"""The first liquidation after a start waits for nothing that could have been known before."""

import pytest

from keeper.devnet.market import Devnet
from tests.chain.worlds import Keeper
from tests.support.proxy import Proxy
from tests.support.threaded import proxied

CRASH = {"WETH": 2_300 * 10**8}


@pytest.fixture
def keeper(aave36: Devnet, tmp_path):
    """A keeper's folder, and the counting node in front of the market's."""
    with proxied(aave36.node.port) as proxy:
        made = Keeper(tmp_path / "keeper", aave36, endpoint=proxy.ws_url)
        made.configure()
        yield made, proxy


def requests_of_crash(keeper: Keeper, proxy: Proxy) -> list[str]:
    """Return what the first block with somebody past the line asks, to the first simulation."""
    with keeper.running("--dry-run") as running:
        running.until("block")
        proxy.reset()
        proxy.recording = True
        keeper.devnet.set_prices(CRASH)
        running.until("block", block=keeper.devnet.node.block_number())
        methods = [str(body["method"]) for body in proxy.bodies]
    first = methods.index("eth_simulateV1")
    newest = max(at for at, method in enumerate(methods[:first]) if method == "eth_getLogs")
    return methods[newest:first]


def test_its_pools_and_tiers_are_known(keeper):
    """The block's own two requests, the clock, the fees, and one look at the pools."""
    asked = requests_of_crash(*keeper)

    assert asked.count("eth_getLogs") == 1
    assert asked.count("eth_call") == 2, asked
    assert len(asked) <= 7
