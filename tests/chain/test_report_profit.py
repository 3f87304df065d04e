"""`keeper report profit` over a played crash, against the balances of the receiver and the key."""

import pytest

from keeper.domain.units import WAD
from tests.chain.worlds import Keeper, decisions, driven

FALL = {"WETH": 2_500 * 10**8, "WBTC": 50_000 * 10**8}
GWEI = 10**9


@pytest.fixture
def keeper(aave36, tmp_path):
    """A keeper that bids: a tip out of each profit, and a share for the builder."""
    made = Keeper(tmp_path / "keeper", aave36)
    made.configure(more="profit_bid_bps = 500\nbuilder_share_bps = 300\n")
    return made


class Purses:
    """What the receiver and the key have, by the chain."""

    def __init__(self, devnet):
        self.devnet = devnet
        self.before = self._now()

    def _now(self):
        devnet, accounts = self.devnet, self.devnet.accounts
        held = {
            token.address: devnet.token(symbol, accounts.receiver)
            for symbol, token in devnet.tokens.items()
        }
        return held, devnet.node.balance(accounts.hot)

    def gained(self):
        """Token units by address (those that changed), and the key's wei."""
        held, wei = self._now()
        before, before_wei = self.before
        return {t: n - before[t] for t, n in held.items() if n != before[t]}, wei - before_wei


def raced(keeper, price):
    """Play a block in which everybody is paid back by somebody else before the keeper's turn."""
    devnet, node = keeper.devnet, keeper.devnet.node
    node.rpc("evm_setAutomine", [False])
    with keeper.running() as running:
        running.until("block")
        devnet.set_prices(price)
        running.until("attempt")
        running.until("block")
        for one in decisions(running.events, "liquidate"):
            spent = one["spend"][0]
            repay = devnet.aave.pool.transaction(
                "repay", spent["token"], int(spent["amount"]), 2, one["account"]
            )
            fees = {"maxFeePerGas": hex(5_000 * GWEI), "maxPriorityFeePerGas": hex(4_000 * GWEI)}
            node.rpc("eth_sendTransaction", [repay.as_json() | fees])
        node.rpc("evm_mine")
        included = running.until("included")
    node.rpc("evm_setAutomine", [True])
    return included


def report(keeper, *arguments, code=0):
    found = keeper.command("report", "profit", "--json", *arguments)
    assert found.code == code, found.err
    return found.document


def test_what_is_reported_is_what_the_receiver_and_the_key_have_to_the_unit(keeper):
    """Gross, gas, bids and lost races of two falls, one of which a rival wins."""
    purses = Purses(keeper.devnet)
    keeper.devnet.set_prices(FALL | {"wstETH": 2_750 * 10**8})
    driven(keeper, 3)
    lost = raced(keeper, {"LINK": 10 * 10**8})
    tokens, wei = purses.gained()

    found = report(keeper)
    total = found["total"]

    assert found["chain"]["differences"] == []
    assert found["chain"]["asked"]
    assert {one["token"]: int(one["amount"]) for one in total["received"]} == tokens
    assert {one["token"]: int(one["amount"]) for one in found["chain"]["received"]} == tokens
    assert -int(total["gas_wei"]) == wei
    assert any(plan["failure"] for plan in lost["plans"])
    assert total["lost"]["plans"] == sum(total["lost"]["reasons"].values()) > 0
    assert 0 < int(total["lost"]["gas_wei"]) < int(total["gas_wei"])
    assert total["liquidations"] >= 5
    assert int(total["bids_wei"]) > 0
    assert 0 < int(total["tips_wei"]) < int(total["gas_wei"])
    net = int(total["gross_wei"]) - int(total["bids_wei"]) - int(total["gas_wei"])
    assert int(total["net_wei"]) == net
    assert int(total["realised_wei"]) == pytest.approx(int(total["predicted_wei"]), rel=0.1)
    assert float(total["net_usd"]) == pytest.approx(net * 2_500 / WAD, rel=1e-3)
    for by in ("day", "token", "market"):
        rows = report(keeper, "--by", by)["rows"]
        for name in ("gross_wei", "gas_wei", "bids_wei", "net_wei"):
            assert sum(int(row[name]) for row in rows) == int(total[name]), by
        assert sum(row["liquidations"] for row in rows) == total["liquidations"]
    shown = keeper.command("report", "profit", "--by", "token")
    assert shown.code == 0, shown.err
    assert "USDC (0x" in shown.out
    assert "held against the chain: no difference" in shown.out
    alone = report(keeper, "--offline")
    assert alone["total"]["gas_wei"] == total["gas_wei"]
    assert alone["total"]["received"] == total["received"]
    assert alone["total"]["bids_wei"] is None
    assert not alone["chain"]["asked"]


def test_a_dry_run_reports_what_it_kept_on_paper(keeper):
    """The sum of its rows, and nothing that would pass for money."""
    purses = Purses(keeper.devnet)
    keeper.devnet.set_prices(FALL)
    events = driven(keeper, 2, "--dry-run")
    (paper,) = [one for one in events if one["event"] == "paper_total"]

    found = report(keeper, "--record", "dry-run")

    assert purses.gained() == ({}, 0)
    assert found["record"] == "dry-run"
    assert found["total"]["net_wei"] == paper["net_profit_wei"]
    assert found["total"]["gas_wei"] == paper["gas_cost_wei"]
    assert found["total"]["liquidations"] == paper["liquidations"] > 0
    assert not found["chain"]["asked"]
    assert found["warnings"][0] == "a dry run: nothing was sent, all of this is on paper"
