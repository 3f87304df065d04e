"""The real node over two endpoints: everything goes to both, and one of them may go."""

import asyncio
import json
import time

import pytest

from tests.chain.test_health import FALL, PATH, asked, configured, port_of, until_ready
from tests.chain.worlds import PATIENCE, Keeper
from tests.support.threaded import proxied

SEND = "eth_sendRawTransaction"


@pytest.fixture
def pair(market36, tmp_path):
    """A keeper whose node is reached by a websocket and by http, through a proxy each."""
    with proxied(market36.node.port) as first, proxied(market36.node.port) as second:
        keeper = Keeper(tmp_path, market36, endpoint=f"{first.ws_url}{PATH}")
        configured(keeper)
        file = keeper.folder / "keeper.toml"
        other = f"http://127.0.0.1:{second.port}{PATH}"
        lines = [
            f'{line[:-1]}, "{other}"]\npoll_interval_ms = 50' if "endpoints = [" in line else line
            for line in file.read_text().splitlines()
        ]
        file.write_text("\n".join(lines))
        yield keeper, first, second


def component(port, name):
    _, text = asked(port, "/healthz?verbose")
    return json.loads(text)["components"][name]


def test_a_liquidation_over_two_endpoints_is_sent_to_both_once_and_believed(pair, market36):
    """Nonce, block and receipt come from both; the same bytes go to both."""
    keeper, first, second = pair
    with keeper.running() as running:
        port = port_of(running)
        running.until("block")
        market36.set_prices(FALL)
        included = running.until("included")
        ready = until_ready(port)
        agreement = component(port, "agreement")
        _, metrics = asked(port, "/metrics")

    attempts = [one for one in running.events if one and one["event"] == "attempt"]
    assert included["success"]
    assert ready == {"ready": True, "reasons": {}}
    assert agreement["ok"]
    assert first.counts[SEND] >= len(attempts) <= second.counts[SEND]
    assert first.counts["eth_getTransactionReceipt"]
    assert second.counts["eth_getTransactionReceipt"]
    assert not [one for one in running.events if one and one["event"] == "disagreement"]
    assert 'keeper_rpc_endpoint_state{endpoint="1",state="alive"} 1.0' in metrics


def test_one_endpoint_of_two_may_go_and_the_blocks_go_on(pair, market36):
    """The websocket is gone: heads come by http, and the event names the place, not the host."""
    keeper, first, _ = pair
    with keeper.running("--observe") as running:
        running.until("block")
        first.outage = (503, "gone")
        loop = first._runner.server._loop  # noqa: SLF001
        asyncio.run_coroutine_threadsafe(first.drop_sockets(), loop).result(PATIENCE)
        market36.node.rpc("evm_mine")
        number = market36.node.block_number()
        deadline = time.monotonic() + PATIENCE
        while running.until("block")["block_number"] < number:
            assert time.monotonic() < deadline
        gone = running.until("endpoint")

    assert (gone["endpoint"], gone["state"]) == (0, "unreachable")
    assert "canary" not in json.dumps(gone)
