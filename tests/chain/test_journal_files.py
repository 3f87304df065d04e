"""C5, C7: a real keeper whose journal or lock is changed, in the block before a crash of prices."""

import json
import os

import pytest

from keeper.chain.abi import checksum
from keeper.devnet.market import hot_key
from keeper.execution.signer import LocalSigner
from tests.chain.test_health import FALL, asked, configured, port_of, until_ready
from tests.chain.worlds import Keeper, decisions

HOT = checksum(LocalSigner(bytes.fromhex(hot_key()[2:]), 31337).address)


@pytest.fixture
def keeper(tmp_path, aave36):
    """A keeper's folder beside a market in which nobody is past the line yet."""
    return configured(Keeper(tmp_path / "keeper", aave36, key=hot_key()))


def _lock_gone(folder):
    (folder / "keeper.sqlite.lock").unlink()


def _cut(folder):
    os.truncate(folder / "keeper.sqlite", 0)


@pytest.mark.parametrize(
    ("change", "told"), [(_lock_gone, "was removed or replaced"), (_cut, "was cut short")]
)
def test_a_keeper_that_does_not_hold_its_journal_any_more_sends_nothing(keeper, change, told):
    """A crash follows, with accounts to liquidate: it says why it signs none, and watches on."""
    node = keeper.devnet.node
    with keeper.running() as running:
        port = port_of(running)
        until_ready(port)
        sent = int(node.rpc("eth_getTransactionCount", [HOT, "pending"]), 16)
        change(keeper.folder)
        keeper.devnet.set_prices(FALL)
        running.until("block", block=node.block_number())
        node.rpc("evm_mine")
        running.until("block", block=node.block_number())
        second = keeper.command("run", "--once", "--json")
        ready, text = asked(port, "/readyz")
        events, log = list(running.events), running.log.read_text()

    after = int(node.rpc("eth_getTransactionCount", [HOT, "pending"]), 16)
    assert "not_sent" in {one["reason"] for one in decisions(events, "skip")}
    assert after == sent
    assert not [one for one in events if one["event"] in ("attempt", "included")]
    assert told in log
    assert ready == 503
    assert "signing" in json.loads(text)["reasons"]
    assert second.code == 4
    assert "in use" in second.err
