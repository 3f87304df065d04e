"""A crash behind nodes that serve each block late: every plan that pays is sent."""

import json
import time

import pytest

from tests.chain.worlds import Keeper, decisions, plans_of
from tests.support.lateness import Lateness
from tests.support.threaded import proxied

FALL = {"WETH": 2_600 * 10**8, "LINK": 10 * 10**8}
HEADER_ONLY = False
NEVER = 60.0
STATE = ("eth_call", "eth_getBalance", "eth_getCode", "eth_simulateV1", "eth_estimateGas")


def hooked(lateness, *, null=False):
    """Return a proxy's hook: the node lacks blocks as stated, by an error or by ``null``."""

    async def hook(request):
        if not lateness.lacks(request.get("method"), request.get("params", [])):
            return None
        if null or request["method"] == "eth_getBlockByHash":
            return {"jsonrpc": "2.0", "id": request["id"], "result": None}
        error = {"code": -32000, "message": "header not found"}
        return {"jsonrpc": "2.0", "id": request["id"], "error": error}

    return hook


@pytest.fixture
def keeper(aave36, tmp_path):
    return Keeper(tmp_path / "keeper", aave36)


def configured(keeper, *endpoints):
    """Write the settings with these endpoints, in this order."""
    keeper.configure()
    file = keeper.folder / "keeper.toml"
    lines = [
        f"endpoints = {json.dumps(endpoints)}\npoll_interval_ms = 50"
        if "endpoints" in line
        else line
        for line in file.read_text().splitlines()
    ]
    file.write_text("\n".join(lines))


def acted(keeper, blocks=3):
    """Run through a fall of prices, block by block; return the events and what was logged."""
    node = keeper.devnet.node
    keeper.devnet.set_prices(FALL)
    node.rpc("evm_setAutomine", [False])
    try:
        with keeper.running() as running:
            running.until("block")
            for _ in range(blocks):
                node.rpc("evm_mine")
                running.until("block", block=node.block_number())
            events = list(running.events)
    finally:
        node.rpc("evm_setAutomine", [True])
    return events, (keeper.folder / "stderr.log").read_text()


def all_sent(events, log):
    """Every block is worked on, and every account that pays is liquidated."""
    liquidated = {one["account"] for one in decisions(events, "liquidate")}
    assert "block_skipped" not in log
    assert "start_repeated" not in log
    assert len(liquidated) >= 5
    assert {one["account"] for one in plans_of(events) if not one["failure"]} == liquidated


@pytest.mark.parametrize("scheme", ["ws", "http"])
@pytest.mark.parametrize("seconds", [0.05, 1.0])
def test_one_endpoint_that_is_late(keeper, scheme, seconds):
    """Fifty milliseconds, or a second of a block's twelve."""
    lateness = Lateness(seconds=seconds)
    with proxied(keeper.devnet.node.port) as proxy:
        proxy.hooks.append(hooked(lateness))
        configured(keeper, proxy.ws_url if scheme == "ws" else proxy.url)
        events, log = acted(keeper)

    all_sent(events, log)
    assert lateness.lacked.total() > 0


@pytest.mark.parametrize("order", [["late", "good"], ["good", "late"]])
@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_of_two_endpoints_one_that_never_serves_a_block_in_time(keeper, order, scheme):
    """In both orders of the settings the other one is asked, and soon it alone."""
    lateness = Lateness(seconds=NEVER)
    with proxied(keeper.devnet.node.port) as late, proxied(keeper.devnet.node.port) as good:
        late.hooks.append(hooked(lateness))
        places = {"late": late, "good": good}
        configured(
            keeper,
            *(places[one].ws_url if scheme == "ws" else places[one].url for one in order),
        )
        events, log = acted(keeper)

    all_sent(events, log)
    assert lateness.lacked.total() <= 20  # what was under way at once, at the start
    assert ("endpoint_passed_over endpoint=0" in log) == (order[0] == "late")


@pytest.mark.parametrize(
    ("methods", "null"),
    [
        (("eth_getLogs",), False),
        (("eth_getLogs",), True),
        (("eth_call",), False),
        (("eth_simulateV1",), False),
        (("eth_getBlockByHash",), True),
        (STATE, True),
    ],
)
def test_what_is_late_alone(keeper, methods, null):
    """The header is there, and logs or state are not yet; or the other way round."""
    lateness = Lateness(seconds=0.3, methods=methods)
    with proxied(keeper.devnet.node.port) as proxy:
        proxy.hooks.append(hooked(lateness, null=null))
        configured(keeper, proxy.ws_url)
        events, log = acted(keeper)

    all_sent(events, log)


def test_blocks_as_quick_as_the_node_is_late(keeper):
    """A block a second, each served three tenths of a second later: none is given up."""
    node = keeper.devnet.node
    lateness = Lateness(seconds=0.3)
    with proxied(node.port) as proxy:
        proxy.hooks.append(hooked(lateness))
        configured(keeper, proxy.ws_url)
        node.rpc("evm_setAutomine", [False])
        node.rpc("evm_setIntervalMining", [1])
        try:
            with keeper.running() as running:
                running.until("block")
                keeper.devnet.set_prices(FALL)
                fell = node.block_number()
                running.until("block", block=fell + 4)
                events = list(running.events)
        finally:
            node.rpc("evm_setIntervalMining", [0])
            node.rpc("evm_setAutomine", [True])

    liquidated = {one["account"] for one in decisions(events, "liquidate")}
    assert len(liquidated) >= 5
    assert {one["account"] for one in plans_of(events) if not one["failure"]} == liquidated
    assert lateness.lacked.total() > 0


def test_one_answer_in_twenty_at_the_start_and_later(keeper):
    """A pool of servers behind one address: no start is repeated, no block is lost."""
    counted = iter(range(10**9))

    class EachTwentieth(Lateness):
        def lacks(self, method, params):
            return method in self.methods and next(counted) % 20 == 19

    with proxied(keeper.devnet.node.port) as proxy:
        proxy.hooks.append(hooked(EachTwentieth()))
        configured(keeper, proxy.ws_url)
        scan = keeper.command("scan", "--json")
        events, log = acted(keeper)

    assert scan.code == 0, scan.err
    assert "start_repeated" not in scan.err
    all_sent(events, log)


def test_logs_by_hash_that_a_node_does_not_know(keeper):
    """Each block's logs are read by its number, between two looks at its hash."""

    async def refused(request):
        if request.get("method") != "eth_getLogs" or "blockHash" not in request["params"][0]:
            return None
        error = {"code": -32602, "message": "invalid params: unknown field blockHash"}
        return {"jsonrpc": "2.0", "id": request["id"], "error": error}

    with proxied(keeper.devnet.node.port) as proxy:
        proxy.hooks.append(refused)
        configured(keeper, proxy.ws_url)
        events, log = acted(keeper)

    all_sent(events, log)
    assert log.count("endpoint_lacks") == 1
    assert "eth_getLogs by block hash" in log


def test_a_command_waits_for_a_late_block_within_its_time(keeper):
    """The newest block is read while the node does not have its state yet."""
    with proxied(keeper.devnet.node.port) as proxy:
        proxy.hooks.append(hooked(Lateness(seconds=0.3)))
        configured(keeper, proxy.url)
        began = time.monotonic()
        scan = keeper.command("scan", "--all", "--json")

    assert scan.code == 0, scan.err
    assert len(scan.document["accounts"]) == len(keeper.devnet.borrowers)
    assert time.monotonic() - began < 60


def from_the_parents_state(proxy, seconds):
    """Return a hook: the newest block's state is read from its parent's, without a word."""
    lateness = Lateness(seconds=seconds, methods=STATE)

    async def hook(request):
        pins = [one for one in request.get("params", []) if isinstance(one, dict)]
        newest = await proxy.ask("eth_getBlockByNumber", "latest", HEADER_ONLY)
        for pin in pins:
            is_newest = pin.get("blockHash") == newest["hash"]
            if is_newest and lateness.lacks(request.get("method"), [pin]):
                pin["blockHash"] = newest["parentHash"]

    return hook, lateness


@pytest.mark.parametrize("twin", [False, True])
def test_state_of_the_parent_is_not_taken_for_the_blocks(keeper, twin):
    """The fall of a price is in the newest block only: from its parent's state all are healthy."""
    node = keeper.devnet.node
    with proxied(node.port) as late, proxied(node.port) as good:
        hook, lateness = from_the_parents_state(late, NEVER if twin else 0.5)
        late.hooks.append(hook)
        configured(keeper, late.ws_url, *([good.ws_url] if twin else []))
        with keeper.running("--observe") as running:
            for _ in range(10):  # the headers before the newest are known by then
                node.rpc("evm_mine")
                running.until("block", block=node.block_number())
            keeper.devnet.set_prices(FALL)
            told = running.until("block", block=node.block_number())
            unhealthy = len(keeper.devnet.unhealthy())

    assert told["unhealthy"] == unhealthy > 0
    assert lateness.lacked["eth_call"] > 0
