"""A dry run sends nothing, seen where bytes leave: each method and address of the process."""

import ast
import re
import signal
import time

import pytest

from keeper.chain.faults import SEND
from keeper.devnet.toolchain import ROOT
from tests.chain.worlds import PATIENCE, Keeper
from tests.support.departures import NAMED, STARTED
from tests.support.faults import Fault, Faults, Kind
from tests.support.threaded import proxied

FALL = {"WETH": 2_500 * 10**8}
READS = frozenset(
    {
        *("eth_blockNumber", "eth_call", "eth_chainId", "eth_estimateGas", "eth_feeHistory"),
        *("eth_gasPrice", "eth_getBalance", "eth_getBlockByHash", "eth_getBlockByNumber"),
        *("eth_getBlockReceipts", "eth_getCode", "eth_getLogs", "eth_getTransactionByHash"),
        *("eth_getStorageAt", "eth_getTransactionCount", "eth_getTransactionReceipt"),
        *("eth_maxPriorityFeePerGas", "eth_newBlockFilter", "eth_simulateV1", "eth_subscribe"),
        *("eth_unsubscribe", "net_version", "web3_clientVersion"),
    }
)
"""Every method that changes nothing, and that a keeper may ask: no other, whatever its name."""
METHOD = re.compile(r"[a-z0-9]{2,12}_[a-z]+[A-Z]\w*")
ELSEWHERE = ("devnet", "schemas")


class Crossing:
    """Two endpoints, one of each transport, and a keeper whose every departure is noted."""

    def __init__(self, keeper, *proxies):
        self.keeper, self.proxies = keeper, proxies
        self.notes = keeper.folder / "departures"
        keeper.module = "tests.support.departures"
        keeper.variables[NAMED] = str(self.notes)
        keeper.endpoint = proxies[0].ws_url
        keeper.configure()
        path = keeper.folder / "keeper.toml"
        both = f'endpoints = ["{proxies[0].ws_url}", "{proxies[1].url}"]'
        path.write_text(re.sub(r"endpoints = .*", both, path.read_text()))

    def methods(self):
        return {method for proxy in self.proxies for method in proxy.counts}

    def addresses(self):
        """Ports on this machine; whatever else it was stays as it was noted."""
        local = re.compile(r"socket\.connect \('127\.0\.0\.1', (\d+)\)")
        lines = set(self.notes.read_text().splitlines())
        return {int(at[1]) if (at := local.fullmatch(line)) else line for line in lines}

    def forget(self):
        self.notes.write_text("")
        for proxy in self.proxies:
            proxy.counts.clear()


@pytest.fixture
def crossing(aave36, tmp_path):
    """A keeper of its own with a live journal: what it had sent when it was killed, waits in it."""
    with proxied(aave36.node.port) as first, proxied(aave36.node.port) as second:
        made = Crossing(Keeper(tmp_path / "keeper", aave36), first, second)
        for proxy in (first, second):
            proxy.faults = Faults([Fault(kind=Kind.SWALLOWED)])
        aave36.set_prices(FALL)
        deadline = time.monotonic() + PATIENCE
        with made.keeper.running() as running:
            while SEND not in made.methods():  # or nothing below would show anything
                assert time.monotonic() < deadline
                time.sleep(0.02)
            running.process.kill()
            running.end()
        assert made.addresses() == {first.port, second.port}
        for proxy in (first, second):
            proxy.faults = Faults()
        made.forget()
        yield made


def nonces(devnet):
    """What the node has of the key: mined, and waiting."""
    hot = devnet.accounts.hot
    return [devnet.node.rpc("eth_getTransactionCount", [hot, at]) for at in ("latest", "pending")]


@pytest.mark.parametrize("mode", ["--dry-run", "--observe"])
def test_nothing_that_changes_anything_leaves_the_process(crossing, mode):
    """
    With a key, with nonces of an earlier live run in the journal, over both endpoints.

    At the start, over some blocks, when it is asked to end, asked twice, and started again.
    """
    keeper, node = crossing.keeper, crossing.keeper.devnet.node
    before = nonces(keeper.devnet)
    for signals in (1, 2, 0):
        with keeper.running(mode, *([] if signals else ["--once"])) as running:
            for _ in range(3 if signals else 0):
                block = running.until("block")
                node.rpc("evm_mine")
            for _ in range(signals):
                running.process.send_signal(signal.SIGTERM)
            assert running.end() in ({0}, {0}, {0, -signal.SIGTERM})[signals]
    left = keeper.command("tx", "list", "--json").document["transactions"]

    assert left
    assert {one["state"] for one in left} == {"bound"}
    assert block["unhealthy"] > 0
    assert crossing.methods() - READS == set()
    assert "eth_call" in crossing.methods()
    assert crossing.addresses() == {proxy.port for proxy in crossing.proxies}
    assert not any(name in crossing.notes.read_text() for name in STARTED)
    assert nonces(keeper.devnet) == before


def test_the_code_names_no_other_method_that_sends():
    """A second way out would have to be named somewhere: each method is a read, or the one send."""
    named = {
        node.value
        for path in sorted((ROOT / "keeper").rglob("*.py"))
        if path.relative_to(ROOT / "keeper").parts[0] not in ELSEWHERE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if METHOD.fullmatch(node.value)
    }

    assert SEND in named
    assert named - READS - {SEND} == set()
