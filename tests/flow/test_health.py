"""A node looked at from outside, over real HTTP: what is served, to whom, and what a stall does."""

import asyncio
import contextlib
import json
import logging
from types import SimpleNamespace

import aiohttp
import pytest

from keeper.domain.decision import Skip, SkipReason
from keeper.domain.errors import RpcUnavailable
from keeper.node import Node
from keeper.observe import http
from keeper.observe.health import Health, head_check, markets_check, work_check
from keeper.observe.http import Window, served
from keeper.observe.metrics import Metrics
from keeper.observe.vitals import Vitals
from keeper.pipeline import Decided
from keeper.risk.tiers import DEFAULT
from tests.flow.test_node import (
    ALICE,
    ListLog,
    RecordingSubmitter,
    ScriptedBook,
    ScriptedHeads,
    a_batch,
)

LIMIT = 36.0
PAGES = ("/livez", "/readyz", "/healthz", "/metrics", "/version")


class Clock:
    """Time that moves when it is told to."""

    now = 1000.0

    def __call__(self):
        return self.now


def a_window(health=None, metrics=b""):
    async def text():
        await asyncio.sleep(0)
        return metrics

    return Window(health=health or Health(), metrics=text, version={"version": "1"})


@contextlib.asynccontextmanager
async def looked_at(window):
    """Serve on a port that the system chooses and yield a way to ask for pages."""
    async with served(window, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:

        async def ask(path, *, method="GET", **headers):
            url = f"http://127.0.0.1:{port}{path}"
            async with session.request(method, url, headers=headers) as answer:
                return answer, await answer.text()

        yield SimpleNamespace(ask=ask, port=port)


@contextlib.asynccontextmanager
async def running(heads, book):
    """Run a node over scripted ports with everything that watches it, until the block ends."""
    clock, metrics = Clock(), Metrics()
    vitals = Vitals(metrics=metrics, thresholds=DEFAULT, clock=clock)
    handled = asyncio.Event()

    async def decide(head, snapshots, in_flight, *, restraint):
        skip = Skip(market="m:1", account=ALICE, reason=SkipReason.DUST)
        return Decided(head=head, decisions=[skip], batches=[a_batch()])

    node = Node(
        heads=heads,
        book=book,
        decide=decide,
        submitter=RecordingSubmitter(),
        decisions=ListLog(),
        emit=lambda event: handled.set() if event["event"] == "block" else None,
        watch=vitals,
    )
    health = Health(
        checks={
            "head": head_check(vitals, LIMIT, None),
            "work": work_check(vitals, LIMIT),
            "markets": markets_check(1, lambda: book.quarantined),
        }
    )
    work = asyncio.create_task(node.run())
    try:
        yield SimpleNamespace(
            health=health, clock=clock, handled=handled, metrics=metrics, vitals=vitals
        )
    finally:
        work.cancel()
        await asyncio.wait([work])


@pytest.mark.io
async def test_a_stalled_head_makes_the_node_not_ready_and_says_why():
    """The process lives, its connection is open, and it would liquidate nobody."""
    async with (
        running(ScriptedHeads(7), ScriptedBook({})) as node,
        looked_at(a_window(node.health)) as seen,
    ):
        await node.handled.wait()
        await asyncio.sleep(0)
        ready, _ = await seen.ask("/readyz")
        node.clock.now += LIMIT + 1
        late, told = await seen.ask("/readyz")
        alive, _ = await seen.ask("/livez")

    assert (ready.status, late.status, alive.status) == (200, 503, 200)
    assert json.loads(told) == {
        "ready": False,
        "reasons": {"head": "no new block for 37 s, the limit is 36 s"},
    }


@pytest.mark.io
async def test_a_node_that_can_read_nothing_is_not_ready():
    """Before the first block is done, and with its one market in quarantine."""
    silent = ScriptedBook({7: RpcUnavailable("silent")}, {"m:1": "oracle reverts"})
    async with (
        running(ScriptedHeads(7), silent) as node,
        looked_at(a_window(node.health)) as seen,
    ):
        await asyncio.sleep(0.02)
        late, told = await seen.ask("/healthz?verbose")
        _, short = await seen.ask("/healthz")

    assert late.status == 503
    assert json.loads(short) == {"status": "failing"}
    assert {name: one["ok"] for name, one in json.loads(told)["components"].items()} == {
        "head": True,
        "work": False,
        "markets": False,
    }
    assert "rpc_unavailable" in told


async def test_what_the_node_does_is_measured():
    """The hooks are where the work is: each stage once, in the order of the work."""
    async with running(ScriptedHeads(7, 8), ScriptedBook({})) as node:
        await node.handled.wait()
        await asyncio.sleep(0.02)
        node.vitals.count()
        text = node.metrics.text().decode()

    for name in ("scan_duration", "block_to_decision", "block_to_submit"):
        assert f"keeper_{name}_seconds_count 2.0" in text
    assert 'keeper_blocks_total{result="done"} 2.0' in text
    assert 'keeper_positions{band="liquidatable",market="m:1"} 1.0' in text


@pytest.mark.io
@pytest.mark.parametrize("path", PAGES)
async def test_every_page_is_for_reading_on_this_machine(path):
    """No other verb, no foreign name, nothing for another site's page to read."""
    async with looked_at(a_window()) as seen:
        here, _ = await seen.ask(path)
        foreign, body = await seen.ask(path, Host="evil.example:80", Origin="http://evil.example")
        local, _ = await seen.ask(path, Host="localhost", Origin="http://evil.example")
        verbs = [(await seen.ask(path, method=one))[0].status for one in ("POST", "PUT", "OPTIONS")]

    assert (here.status, foreign.status, local.status) == (200, 403, 200)
    assert body == "this host is not served\n"
    assert verbs == [405, 405, 405]
    for answer in (here, foreign, local):
        assert not [one for one in answer.headers if one.startswith("Access-Control")]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "keeper"
        assert answer.headers["Connection"] == "close"


@pytest.mark.io
async def test_another_page_is_not_there():
    """Nothing but the pages, and no word of what serves them."""
    async with looked_at(a_window()) as seen:
        answer, body = await seen.ask("/")

    assert (answer.status, body) == (404, "Not Found\n")


@pytest.mark.io
async def test_a_busy_port_is_a_warning_and_the_node_goes_on(caplog):
    """Several keepers run on one machine; none stops because another one is looked at."""
    async with looked_at(a_window()) as seen:
        with caplog.at_level(logging.WARNING):
            async with served(a_window(), "127.0.0.1", seen.port) as port:
                still, _ = await seen.ask("/livez")

    assert port is None
    assert still.status == 200
    (warning,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert f"observe_off host=127.0.0.1 port={seen.port}" in warning
    assert "in use" in warning


@pytest.mark.io
async def test_it_listens_on_no_other_address():
    """Loopback means this address, not every one that the machine has."""
    async with looked_at(a_window()) as seen:
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection("127.0.0.2", seen.port)


@pytest.mark.io
async def test_connections_are_bounded_in_number(monkeypatch):
    """Whoever opens many takes the others' place, and never the keeper's file descriptors."""
    monkeypatch.setattr(http, "MAX_CONNECTIONS", 2)
    async with looked_at(a_window()) as seen:
        held = [await asyncio.open_connection("127.0.0.1", seen.port) for _ in range(2)]
        await asyncio.sleep(0.02)
        with pytest.raises(aiohttp.ClientError):
            await seen.ask("/livez")
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.02)
        answer, _ = await seen.ask("/livez")

    assert answer.status == 200


@pytest.mark.io
async def test_a_connection_that_says_nothing_is_ended(monkeypatch):
    """Half a request must not be waited for until the end of days."""
    monkeypatch.setattr(http, "CONNECTION_SECONDS", 0.02)
    async with looked_at(a_window()) as seen:
        reader, writer = await asyncio.open_connection("127.0.0.1", seen.port)
        writer.write(b"GET /livez HTTP/1.1\r\n")
        try:
            end = await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:  # that is an end, too, where the bytes came after it
            end = b""
        writer.close()

    assert b"200" not in end
