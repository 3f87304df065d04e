"""The real node, looked at while it runs: what is told agrees with what it says it did."""

import contextlib
import http.client
import json
import queue
import re
import socket
import time
from collections import Counter
from http import HTTPStatus
from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from keeper.devnet.market import hot_key
from tests.chain.conftest import undone
from tests.chain.worlds import IDLE, PATIENCE, Keeper
from tests.support.threaded import proxied

PATH = "/v2/canaryOfTheEndpoint0123456789"
PAGES = ("/livez", "/readyz", "/healthz?verbose", "/metrics", "/version", "/none")
FALL = {"WETH": 2_500 * 10**8, "LINK": 7 * 10**8}
LISTENING = re.compile(r"observe_listening host=127\.0\.0\.1 port=(\d+)")


def configured(keeper, port=0):
    """Write the settings; the keeper is looked at on ``port``, 0: as the system chooses."""
    keeper.configure()
    file = keeper.folder / "keeper.toml"
    file.write_text(f'{file.read_text()}\n[observe]\nlisten = "127.0.0.1:{port}"\n')
    return keeper


def port_of(running):
    """Return the port that the node says it listens on."""
    deadline = time.monotonic() + PATIENCE
    while not (found := LISTENING.findall(running.log.read_text())):
        assert time.monotonic() < deadline, running.log.read_text()
        time.sleep(0.02)
    return int(found[-1])


def asked(port, path, **headers):
    """Return status and text of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def until_ready(port):
    """Wait until the node is ready: it has kept a block a moment after it told of it."""
    deadline = time.monotonic() + PATIENCE
    while (found := asked(port, "/readyz"))[0] != HTTPStatus.OK:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return json.loads(found[1])


def endpoint_fault(port, wanted):
    """Return what is wrong with the endpoint, as soon as it is as ``wanted``."""
    deadline = time.monotonic() + PATIENCE
    while True:
        _, text = asked(port, "/healthz?verbose")
        why = json.loads(text)["components"]["endpoint"]["reason"]
        if wanted(why):
            return why
        assert time.monotonic() < deadline, why
        time.sleep(0.05)


def until_idle(running):
    """Read events until none comes for a while."""
    with contextlib.suppress(queue.Empty):
        while running.next(seconds=2 * IDLE) is not None:
            pass


@pytest.fixture(scope="module")
def market(market36):
    """The market for this module, as it was brought up."""
    with contextlib.contextmanager(undone)(market36) as devnet:
        yield devnet


@pytest.fixture(scope="module")
def seen(market, tmp_path_factory):
    """What a live run told on stdout, and what its pages said when it had nothing left to do."""
    with (
        contextlib.contextmanager(undone)(market) as devnet,
        proxied(devnet.node.port) as proxy,
    ):
        endpoint = f"{proxy.ws_url.rstrip('/')}{PATH}"
        keeper = Keeper(tmp_path_factory.mktemp("live"), devnet, endpoint=endpoint)
        with configured(keeper).running() as running:
            port = port_of(running)
            running.until("block")
            devnet.set_prices(FALL)
            running.until("included")
            while running.until("block")["block_number"] < devnet.node.block_number():
                pass
            until_idle(running)
            ready = until_ready(port)
            pages = {one: asked(port, one) for one in PAGES}
        return SimpleNamespace(
            pages=pages,
            ready=ready,
            events=[one for one in running.events if one],
            balance=devnet.node.balance(devnet.accounts.hot),
            head=devnet.node.block_number(),
            borrowers=[one.address for one in devnet.borrowers],
        )


@pytest.fixture(scope="module")
def watching(market, tmp_path_factory):
    """A node that observes through a proxy, and where to look at it."""
    with proxied(market.node.port) as proxy:
        endpoint = f"http://127.0.0.1:{proxy.port}{PATH}"
        keeper = Keeper(tmp_path_factory.mktemp("observing"), market, endpoint=endpoint)
        with configured(keeper).running("--observe") as running:
            port = port_of(running)
            running.until("block")
            yield SimpleNamespace(port=port, proxy=proxy, running=running)


def samples(seen):
    """Return every sample by name and label values."""
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(seen.pages["/metrics"][1])
        for sample in family.samples
    }


def counted(seen, name):
    """Return a counter's samples that are not zero, by label values."""
    found = samples(seen).items()
    return Counter({key[1:]: int(one) for key, one in found if key[0] == name and one})


def events(seen, name):
    return [one for one in seen.events if one["event"] == name]


def test_a_node_at_work_is_alive_and_ready(seen):
    """Every page is there, every component of a signing node is looked at."""
    statuses = {path: status for path, (status, _) in seen.pages.items()}
    components = json.loads(seen.pages["/healthz?verbose"][1])["components"]

    assert statuses == dict.fromkeys(PAGES, 200) | {"/none": 404}
    assert seen.ready == {"ready": True, "reasons": {}}
    assert json.loads(seen.pages["/version"][1])["mode"] == "live"
    assert components == {
        name: {"ok": True, "reason": ""}
        for name in (
            "head",
            "work",
            "endpoint",
            "agreement",
            "markets",
            "book",
            "journal",
            "signing",
            "finality",
        )
    }


def test_the_counts_agree_with_the_events(seen):
    """Two accounts of one run: what stdout told, and what a scraper saw."""
    decisions = events(seen, "decision")
    included = events(seen, "included")
    plans = [plan for one in included for plan in one["plans"]]

    assert counted(seen, "keeper_decisions_total") == Counter(
        tuple(sorted((one["action"], one["reason"]))) for one in decisions
    )
    assert counted(seen, "keeper_blocks_total")["done",] == len(events(seen, "block"))
    assert counted(seen, "keeper_tx_total")["succeeded",] == len(included) > 0
    assert counted(seen, "keeper_tx_attempts_total").total() == len(events(seen, "attempt"))
    assert counted(seen, "keeper_plans_total") == {("succeeded",): len(plans)}


def test_the_figures_agree_with_the_chain(seen):
    """Money as the chain has it, to a float's precision; nothing is in flight any more."""
    found = samples(seen)
    included = events(seen, "included")
    profit = sum(int(one["net_profit_wei"]) for one in included)
    gas = sum(int(one["gas_cost_wei"]) for one in included)
    tiers = [one for key, one in found.items() if key[0] == "keeper_positions"]

    assert found["keeper_profit_ether",] == pytest.approx(profit / 10**18)
    assert found["keeper_gas_spent_ether_total",] == pytest.approx(gas / 10**18)
    assert found["keeper_wallet_balance_ether",] == pytest.approx(seen.balance / 10**18)
    assert found["keeper_nonce", "journal"] == found["keeper_nonce", "latest"] >= len(included)
    assert found["keeper_tx_inflight",] == 0
    assert found["keeper_head_block_number", "0"] == seen.head
    assert found["keeper_block_to_submit_seconds_count",] > 0
    assert sum(tiers) == events(seen, "block")[-1]["accounts"]
    assert counted(seen, "keeper_rpc_requests_total")["eth_sendRawTransaction",] >= len(included)


def test_no_page_holds_a_secret_or_a_borrower(seen):
    """Neither the key nor the endpoint's address; and nobody's health is published by name."""
    told = "".join(text for _, text in seen.pages.values()).lower()
    secrets = [PATH, PATH.rpartition("/")[2], hot_key(), hot_key().removeprefix("0x"), "ws://"]

    assert len(told) > 1000
    assert [one for one in (*secrets, *seen.borrowers) if one.lower() in told] == []


def test_only_this_machine_by_its_own_names_is_served(watching):
    """Not the machine's other addresses, and no name that a web page may have made up."""
    foreign = asked(watching.port, "/metrics", Host="rebound.example")
    own = asked(watching.port, "/livez", Host=f"localhost:{watching.port}")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", watching.port))

    assert foreign == (403, "this host is not served\n")
    assert own == (200, "ok\n")


def test_a_second_keeper_finds_the_port_taken_and_works(watching, market, tmp_path):
    """It says so in one line; nobody's liquidations wait for a port."""
    second = configured(Keeper(tmp_path / "second", market), port=watching.port)
    with second.running("--observe", "--once") as running:
        code = running.end()
    told = [one for one in running.log.read_text().splitlines() if "observe_" in one]

    assert code == 0
    assert [one["event"] for one in running.events if one][-1] == "block"
    assert len(told) == 1
    assert "observe_off" in told[0]


def test_a_dead_endpoint_ends_readiness_until_it_answers_again(watching):
    """The node lives on and says why it would liquidate nobody."""
    before = endpoint_fault(watching.port, lambda why: not why)
    watching.proxy.outage = (503, f"no upstream for {PATH}")
    dead = endpoint_fault(watching.port, bool)
    status, _ = asked(watching.port, "/readyz")
    alive, _ = asked(watching.port, "/livez")
    watching.proxy.outage = None

    assert (before, status, alive) == ("", 503, 200)
    assert dead.startswith("no endpoint has answered for ")
    assert PATH not in dead
    assert endpoint_fault(watching.port, lambda why: not why) == ""
