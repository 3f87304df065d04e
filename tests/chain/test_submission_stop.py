"""Stopping the real node: in order at the first signal, at once at the second."""

import asyncio
import signal
import socket
import time

import pytest

from keeper.storage.journal import Journal
from tests.chain.worlds import PATIENCE, Keeper
from tests.support import proxy as proxies
from tests.support.threaded import proxied

FALL = {"WETH": 2_500 * 10**8}
SOON = 30.0


@pytest.fixture
def keeper(aave36, tmp_path):
    """A keeper of the market, in a folder of its own."""
    made = Keeper(tmp_path / "keeper", aave36)
    made.configure()
    return made


def holding(proxy):
    """Keep every send from the node for ever; return the bytes that came."""
    held = []

    async def hold(request):
        if request.get("method") == "eth_sendRawTransaction":
            held.append(request["params"][0])
            await asyncio.sleep(60)

    proxy.hooks.append(hold)
    return held


def systemd(path, monkeypatch):
    """Return the socket of a service manager that the next processes find."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(path))
    heard.settimeout(SOON)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    return heard


def wait_for(held):
    deadline = time.monotonic() + PATIENCE
    while not held:
        assert time.monotonic() < deadline, "nothing was sent"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_node_in_order(keeper, monkeypatch, number):
    """
    Exit code 0 before a supervisor kills it, and the journal is free for the next process.

    The supervisor hears that it is ready, that it gets on, and that it ends.
    """
    with systemd(keeper.folder / "notify", monkeypatch) as heard, keeper.running() as running:
        running.until("block")
        told = [heard.recv(256).decode() for _ in range(2)]
        asked = time.monotonic()
        running.process.send_signal(number)

        assert running.end() == 0
        assert time.monotonic() - asked < SOON
        told.append(heard.recv(256).decode())
    assert told[0] == "READY=1"
    assert told[1].startswith("WATCHDOG=1\nSTATUS=block ")
    assert told[2] == "STOPPING=1"
    journal = Journal.open(
        keeper.folder / "keeper.sqlite", chain_id=31337, sender=keeper.devnet.accounts.hot
    )
    journal.close()


def test_a_second_signal_ends_it_at_once_and_the_journal_knows_what_was_sent(keeper):
    """The node holds the send for ever: the first signal waits for it, the second does not."""
    with proxied(keeper.devnet.node.port) as proxy:
        held = holding(proxy)
        keeper.endpoint = proxy.ws_url
        keeper.configure()
        keeper.devnet.set_prices(FALL)
        with keeper.running() as running:
            wait_for(held)
            running.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            still = running.process.poll()
            running.process.send_signal(signal.SIGTERM)

            assert still is None
            assert running.end() == -signal.SIGTERM
    shown = keeper.command("tx", "list", "--json").document["transactions"]
    assert {one["state"] for one in shown} == {"bound"}
    assert len(shown) == len(set(held))


def test_what_was_killed_between_record_and_delivery_is_delivered_by_the_next_process(keeper):
    """kill -9 while the bytes are on the way to nobody: the same bytes, once, and nothing else."""
    node = keeper.devnet.node
    first = int(node.rpc("eth_getTransactionCount", [keeper.devnet.accounts.hot, "latest"]), 16)
    with proxied(node.port) as proxy:
        held = holding(proxy)
        keeper.endpoint = proxy.ws_url
        keeper.configure()
        keeper.devnet.set_prices(FALL)
        with keeper.running() as running:
            wait_for(held)
            running.process.kill()
            running.end()
        recorded = list(held)
        proxy.hooks.clear()
        with keeper.running("--once") as running:
            code = running.end()

    hashes = {proxies.pooled(raw).hash for raw in recorded}
    landed = [one for one in running.events if one["event"] == "included"]
    assert code == 0, running.log.read_text()
    assert hashes <= {one["hash"] for one in landed}
    assert {one["failure"] for each in landed for one in each["plans"]} == {""}
    assert sorted(one["nonce"] for one in landed) == list(range(first, first + len(landed)))
