"""Dry run, observing and money that is not lost: what the keeper must not send, it does not."""

import contextlib
import sqlite3

import pytest

from tests.chain.worlds import Keeper, decisions, driven
from tests.support.threaded import proxied

FALL = {"WETH": 2_500 * 10**8, "WBTC": 50_000 * 10**8, "LINK": 7 * 10**8}


@pytest.fixture
def keeper(aave36, tmp_path):
    """A keeper of the market, in a folder of its own."""
    made = Keeper(tmp_path / "keeper", aave36)
    made.configure()
    return made


def sends(counts):
    return {name: count for name, count in counts.items() if "send" in name.lower()}


def paper_rows(file):
    with contextlib.closing(sqlite3.connect(file)) as database:
        return database.execute("select count(*) from paper").fetchone()[0]


@contextlib.contextmanager
def base_fee(node, wei):
    """Make gas cost that much in the next block, and little again afterwards."""
    before = node.rpc("eth_getBlockByNumber", ["latest", False])["baseFeePerGas"]
    node.batch([("anvil_setNextBlockBaseFeePerGas", [hex(wei)]), ("evm_mine", [])])
    yield
    node.rpc("anvil_setNextBlockBaseFeePerGas", [before])


def test_a_dry_run_sends_nothing_and_keeps_a_paper_ledger(keeper):
    """Seen at the transport: no method that sends was ever called, and nobody was liquidated."""
    keeper.devnet.set_prices(FALL)
    before = keeper.devnet.unhealthy()
    with proxied(keeper.devnet.node.port) as proxy:
        keeper.endpoint = proxy.ws_url
        keeper.configure()

        events = driven(keeper, 2, "--dry-run")

        assert proxy.counts["eth_simulateV1"] >= 1
        assert sends(proxy.counts) == {}
    assert len(decisions(events, "liquidate")) >= 10
    assert keeper.devnet.unhealthy().keys() == before.keys()
    (ledger,) = keeper.folder.glob("*.dry-run.sqlite")
    assert paper_rows(ledger) >= 10


def test_observing_needs_no_key_and_plans_nothing(keeper):
    """Health and margin calls: no decision, no simulation, no signature, no key's journal."""
    keeper.devnet.set_prices(FALL)
    keeper.key, keeper.executor = None, None
    with proxied(keeper.devnet.node.port) as proxy:
        keeper.endpoint = proxy.ws_url
        keeper.configure()

        events = driven(keeper, 2, "--observe")

        assert sends(proxy.counts) == {}
        assert proxy.counts["eth_simulateV1"] == 0
    assert {one["event"] for one in events} == {"block", "margin_call"}
    blocks = [one for one in events if one["event"] == "block"]
    assert blocks[0]["unhealthy"] == len(keeper.devnet.unhealthy())
    called = [one for one in events if one.get("tier") == "liquidatable"]
    assert {one["account"] for one in called} == set(keeper.devnet.unhealthy())
    files = sorted(one.name for one in keeper.folder.glob("*.sqlite"))
    assert files == ["keeper.book.sqlite", "keeper.observe.sqlite"]


def test_gas_dearer_than_the_bonus_is_not_paid(keeper):
    """At 5,000 gwei a liquidation costs more than these bonuses: each is a no with its numbers."""
    keeper.configure(more='max_fee_gwei = "10000"\n')
    keeper.devnet.set_prices({"LINK": 12 * 10**8})
    unhealthy = keeper.devnet.unhealthy()
    assert unhealthy
    node = keeper.devnet.node
    balance = node.balance(keeper.devnet.accounts.hot)

    with base_fee(node, 5_000 * 10**9):
        events = driven(keeper, 1)

    skipped = decisions(events, "skip")
    assert {one["account"] for one in skipped} == set(unhealthy)
    assert {one["reason"] for one in skipped} <= {"dust", "below_min_profit"}
    assert all(int(one["net_profit_wei"]) < 0 for one in skipped)
    assert all("wei" in one["detail"] for one in skipped)
    assert node.balance(keeper.devnet.accounts.hot) == balance


def test_collateral_that_sells_below_its_price_is_left(keeper):
    """The oracle says 12 dollars, the pool pays 7: the bonus does not cover the sale."""
    keeper.devnet.set_prices({"LINK": 7 * 10**8})
    keeper.devnet.set_prices({"LINK": 12 * 10**8}, leave_pools=True)
    unhealthy = keeper.devnet.unhealthy()
    balance = keeper.devnet.node.balance(keeper.devnet.accounts.hot)

    events = driven(keeper, 1)

    skipped = {one["account"]: one for one in decisions(events, "skip")}
    assert skipped.keys() == unhealthy.keys()
    assert decisions(events, "liquidate") == []
    assert all(any(sign.isdigit() for sign in one["detail"]) for one in skipped.values())
    assert keeper.devnet.node.balance(keeper.devnet.accounts.hot) == balance
    for account, one in list(skipped.items())[:2]:
        explained = keeper.command("explain", account)
        assert explained.code == 0, explained.err
        assert one["reason"] in explained.out
        assert one["net_profit_wei"].lstrip("-")[:3] in explained.out.replace(",", "").replace(
            ".", ""
        )
