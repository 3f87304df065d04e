"""
F25: clocks that jump, the process's own and the node's, around a keeper that signs.

The chain is a real one by its id, so that its time means something to the keeper; the keeper's
time of day stands in a file (``tests/support/clocked.py``), and the node's is changed on its way.
"""

import contextlib
import json
import queue
import re
import time

import pytest

from keeper.execution.signer import checked_key
from tests.chain.test_health import asked, port_of
from tests.chain.test_submission_owner import KEY, deployed
from tests.chain.worlds import IDLE, PATIENCE, Keeper, liquidation_logs
from tests.support.clocked import VARIABLE
from tests.support.threaded import proxied

CHAIN = 5_555
HOUR = 3_600
FALL = {"WETH": 2_500 * 10**8}


class Clocks:
    """The process's clock, in a file, and how far the node's is off."""

    def __init__(self, file, node):
        self.file, self.node = file, node
        self.node_off = 0
        self.agree()

    def agree(self, off=0):
        """Set the process's clock by the newest block, and so far off."""
        newest = self.node.rpc("eth_getBlockByNumber", ["latest", False])
        written = self.file.with_suffix(".new")
        written.write_text(str(int(newest["timestamp"], 16) + off))
        written.rename(self.file)

    def hook(self, proxy):
        """Return what the node says of blocks when its clock is off."""

        async def hooked(message):
            if not self.node_off:
                return None
            if message["method"] == "eth_subscription":
                return message | {"params": self._shifted(message["params"], "result")}
            if message["method"] not in ("eth_getBlockByNumber", "eth_getBlockByHash"):
                return None
            answer = {"jsonrpc": "2.0", "id": message["id"]}
            result = await proxy.ask(message["method"], *message["params"])
            return self._shifted(answer | {"result": result}, "result")

        return hooked

    def _shifted(self, holder, key):
        header = holder[key]
        if not isinstance(header, dict) or "parentHash" not in header:
            return holder
        stamp = hex(int(header["timestamp"], 16) + self.node_off)
        return holder | {key: header | {"timestamp": stamp}}


@pytest.fixture
def clocked(aave36, tmp_path):
    """A keeper on a chain that is nobody's local one, behind a proxy, and its clocks."""
    aave36.node.set_balance(checked_key(KEY), 10**19)
    owner = Keeper(tmp_path / "owner", aave36, key=KEY.hex())
    owner.executor = None
    owner.configure()
    executor = deployed(owner)
    aave36.node.rpc("anvil_setChainId", [CHAIN])
    with proxied(aave36.node.port) as proxy:
        clocks = Clocks(tmp_path / "clock", aave36.node)
        proxy.hooks.append(clocks.hook(proxy))
        keeper = Keeper(
            tmp_path / "keeper",
            aave36,
            endpoint=proxy.ws_url,
            key=KEY.hex(),
            executor=executor,
            module="tests.support.clocked",
            variables={VARIABLE: str(clocks.file)},
        )
        keeper.configure(chain_id=CHAIN)
        file = keeper.folder / "keeper.toml"
        text = file.read_text().replace('name = "main"', 'name = "main"\nallow_hot_roles = true')
        file.write_text(f'{text}\n[observe]\nlisten = "127.0.0.1:0"\n')
        yield keeper, clocks
    aave36.node.rpc("anvil_setChainId", [31_337])


@contextlib.contextmanager
def running(keeper):
    arguments = (
        "--init-journal",
        "--set",
        "run.quiet_blocks=0",
        "--set",
        "run.stall_exit_seconds=60",
    )
    with keeper.running(*arguments) as process:
        process.until("block")
        yield process


def mined(keeper, process, clocks, *, off=0, count=1):
    """
    Mine blocks, the process's clock so far off, and wait until the keeper is done with them.

    It may skip one: a header of another time than the contracts' own clock is not read upon.
    """
    node = keeper.devnet.node
    for _ in range(count):
        node.rpc("evm_mine")
        clocks.agree(off)
        until_done(process, node.block_number())


def until_done(process, number):
    """Wait until a block, or a later one, was worked on or skipped."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(queue.Empty):
            event = process.next(seconds=IDLE)
            assert event is not None, process.log.read_text()
            if event["event"] == "block" and event["block_number"] >= number:
                return
        if any(skipped >= number for skipped in skipped_blocks(process)):
            return
    raise AssertionError(process.log.read_text())


def skipped_blocks(process):
    """Return the blocks that the log says were skipped."""
    return [int(one) for one in re.findall(r"block_skipped block=(\d+)", process.log.read_text())]


def not_ready(port):
    status, text = asked(port, "/readyz")
    return "" if status == 200 else json.loads(text)["reasons"].get("head", "")


@pytest.mark.parametrize(
    ("off", "why"),
    [(HOUR, "old by this machine's clock"), (-HOUR, "ahead of this machine's clock")],
)
def test_f25_nothing_is_signed_while_the_own_clock_is_an_hour_off(clocked, off, why):
    """Set forward, every block seems old; set back, every block seems of the future."""
    keeper, clocks = clocked
    devnet = keeper.devnet
    with running(keeper) as process:
        port, first = port_of(process), devnet.node.block_number()
        mined(keeper, process, clocks, count=2)
        clocks.agree(off)
        devnet.set_prices(FALL)
        clocks.agree(off)
        mined(keeper, process, clocks, off=off, count=3)
        reason = not_ready(port)
        sent = [one for one in process.events if one["event"] == "attempt"]
        held = [one for one in process.events if one.get("reason") == "not_sent"]
        during = liquidation_logs(devnet, first)

        clocks.agree()
        mined(keeper, process, clocks)
        included = process.until("included", still=devnet.node)

    assert why in reason
    assert sent == []
    assert held
    assert why in str([one.get("detail") for one in held])
    assert during == []
    assert included["success"]


@pytest.mark.parametrize(
    ("off", "why"),
    [(HOUR, "ahead of this machine's clock"), (-HOUR, "old by this machine's clock")],
)
def test_f25_nothing_is_signed_while_the_nodes_clock_is_an_hour_off(clocked, off, why):
    """It jumps once and is right again: deadlines and the hour's limits do not follow it."""
    keeper, clocks = clocked
    devnet = keeper.devnet
    with running(keeper) as process:
        port, first = port_of(process), devnet.node.block_number()
        mined(keeper, process, clocks, count=2)
        clocks.node_off = off
        devnet.set_prices(FALL)
        mined(keeper, process, clocks)
        reason = not_ready(port)
        sent = [one for one in process.events if one["event"] == "attempt"]
        during = liquidation_logs(devnet, first)

        clocks.node_off = 0
        mined(keeper, process, clocks)
        included = process.until("included", still=devnet.node)
        newest = int(devnet.node.rpc("eth_getBlockByNumber", ["latest", False])["timestamp"], 16)

    assert why in reason
    assert sent == []
    assert during == []
    assert included["success"]
    assert newest < int(clocks.file.read_text()) + HOUR
