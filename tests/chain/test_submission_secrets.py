"""No secret in anything that the real node writes, however its node treats it."""

import asyncio
import hashlib
import signal
import time
from pathlib import Path

import pytest

from keeper.execution.signer import checked_key
from tests.chain.worlds import Keeper
from tests.support.threaded import proxied

KEY = hashlib.sha256(b"canary of the private key").digest()
PATH = "/v2/canaryOfTheEndpoint0123456789"
FALL = {"WETH": 2_500 * 10**8}


@pytest.fixture
def keeper(aave36, tmp_path):
    """A keeper whose key and endpoint are canaries."""
    made = Keeper(tmp_path / "keeper", aave36, key=KEY.hex())
    aave36.node.set_balance(checked_key(KEY), 10**19)
    made.executor = None
    made.configure()
    done = made.command("executor", "deploy", "--json")
    made.executor = done.document["address"]
    return made


def leaks(*texts: bytes):
    """Return which canaries are in what was written, in any form that gives them away."""
    canaries = {
        "key in hex": KEY.hex().encode(),
        "key in capitals": KEY.hex().upper().encode(),
        "key in bytes": KEY,
        "key as a number": str(int.from_bytes(KEY)).encode(),
        "endpoint": PATH.encode(),
        "endpoint's last part": PATH.rpartition("/")[2].encode(),
    }
    return [name for name, one in canaries.items() if any(one in text for text in texts)]


def written(keeper):
    """Everything in the keeper's folder but the settings that hold the endpoint."""
    found = [one for one in keeper.folder.rglob("*") if one.is_file() and one.suffix != ".toml"]
    assert any(one.suffix == ".sqlite" for one in found)
    return [one.read_bytes() for one in found]


def saying(proxy, methods, document):
    """Answer these methods so, instead of the node."""

    async def answer(request):
        await asyncio.sleep(0)
        if request.get("method") in methods:
            return {"jsonrpc": "2.0", "id": request["id"], **document}
        return None

    proxy.hooks.append(answer)


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_a_node_that_fails_in_every_way_gets_no_secret_out_of_the_keeper(keeper, scheme):
    """Refusals with the address in them, statuses, nonsense, and then nothing at all."""
    with proxied(keeper.devnet.node.port) as proxy:
        place = f"{scheme}://127.0.0.1:{proxy.port}{PATH}"
        keeper.endpoint = place
        keeper.configure()
        text = f"429 Too Many Requests, url='{place}' for {place}?apikey=x"
        saying(proxy, {"eth_sendRawTransaction"}, {"error": {"code": -32005, "message": text}})
        keeper.devnet.set_prices(FALL)
        with keeper.running() as running:
            limits = Path(f"/proc/{running.process.pid}/limits")
            running.until("attempt")
            running.until("block")
            core = next(one for one in limits.read_text().splitlines() if "core file" in one)
            outages = ((401, text), (429, text), (500, text), (200, f"<html>{text}</html>"))
            for outage in outages:
                proxy.outage = outage
                keeper.devnet.node.rpc("evm_mine")
                time.sleep(0.4)
            proxy.outage = None
            proxy.hooks.clear()
            saying(proxy, {"eth_getLogs", "eth_call"}, {"result": {"surprise": place}})
            keeper.devnet.node.rpc("evm_mine")
            time.sleep(0.4)
            running.process.send_signal(signal.SIGTERM)
            running.end()
        out = repr(running.events).encode()

    gone = keeper.command("run", "--once", "--debug")
    shown = keeper.command("tx", "list", "--json")

    assert core.split()[4:6] == ["0", "0"]
    assert gone.code == 3
    assert b"rpc_unavailable" in gone.err.encode()
    assert "attempt" in out.decode()
    texts = [done.encode() for one in (gone, shown) for done in (one.out, one.err)]
    assert leaks(out, *texts, *written(keeper)) == []


def test_a_broken_key_is_refused_without_being_shown(keeper):
    """One digit too many: the message names the setting and not its value."""
    keeper.key = KEY.hex() + "0"

    done = keeper.command("run", "--once", "--debug")

    assert done.code == 2
    assert leaks(done.out.encode(), done.err.encode()) == []


def test_the_search_itself_finds_what_is_there():
    """A search that finds nothing anywhere proves nothing."""
    assert leaks(b"x" + KEY.hex().encode()) == ["key in hex"]
    assert leaks(f"http://host{PATH}".encode()) == ["endpoint", "endpoint's last part"]
