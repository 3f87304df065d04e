"""Forty liquidations whose exits share one thin pool: what fits is taken, nothing is lost."""

import pytest
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.assets import BY_SYMBOL, PRICE_UNIT, Asset
from tests.chain.worlds import (
    Keeper,
    account_data,
    decisions,
    driven,
    last_decisions,
    planned_steps,
    plans_of,
)
from tests.chain.worlds_unseen import Unseen, listed, open_pool, submit_prices

ACCOUNTS = 40
LINE = 10**18
THIN = Asset(
    symbol="THIN",
    decimals=12,
    price=20 * PRICE_UNIT,
    ltv=7_000,
    threshold=7_200,
    bonus=10_800,
)
FALLEN = 18 * PRICE_UNIT


@pytest.fixture
def thin(aave36):
    """Forty borrowers of USDC against one token, which fell; its only pool is thin."""
    tokens, feeds = listed(aave36, [THIN])
    pool, admin, node = aave36.aave.pool, aave36.accounts.admin, aave36.node
    pool.send("supply", tokens["THIN"].address, THIN.units_worth(10_000_000 * PRICE_UNIT), admin, 0)
    accounts = [
        str(to_checksum_address(keccak(text=f"thin {number}")[-20:])) for number in range(ACCOUNTS)
    ]
    node.batch([("anvil_setBalance", [who, hex(10**18)]) for who in accounts])
    values = [(4_000 + 350 * number) * PRICE_UNIT for number in range(ACCOUNTS)]
    node.send_all(
        [
            pool.transaction("supply", tokens["THIN"].address, THIN.units_worth(value), who, 0)
            for who, value in zip(accounts, values, strict=True)
        ]
    )
    usdc = aave36.tokens["USDC"].address
    node.send_all(
        [
            pool.transaction("borrow", usdc, value * 69 // 100 // 100, 2, 0, who, sender=who)
            for who, value in zip(accounts, values, strict=True)
        ]
    )
    unseen = Unseen(
        devnet=aave36,
        assets=dict(BY_SYMBOL) | {"THIN": THIN},
        tokens=dict(aave36.tokens) | tokens,
        feeds=dict(aave36.feeds) | feeds,
        accounts=accounts,
    )
    submit_prices(unseen, {"THIN": FALLEN})
    sides = {
        "THIN": (tokens["THIN"], FALLEN, THIN.unit),
        "USDC": (aave36.tokens["USDC"], PRICE_UNIT, BY_SYMBOL["USDC"].unit),
    }
    open_pool(aave36, sides, 3_000, 6_000_000 * PRICE_UNIT)
    return unseen


def worth(unseen, before):
    """Return what the receiver gained since, in wei at the market's own prices."""
    total = 0
    for symbol, token in unseen.tokens.items():
        gained = token.call("balanceOf", unseen.devnet.accounts.receiver) - before[symbol]
        total += gained * unseen.price(symbol) * 10**18 // unseen.assets[symbol].unit
    return total // unseen.price("WETH")


def test_what_one_pool_bears_is_taken_at_the_predicted_profit(thin, tmp_path):
    """Each sale is planned on what the ones before leave; the rest is too much for the pool."""
    devnet = thin.devnet
    keeper = Keeper(tmp_path / "keeper", devnet)
    keeper.configure()
    receiver, hot = devnet.accounts.receiver, devnet.accounts.hot
    held = {symbol: token.call("balanceOf", receiver) for symbol, token in thin.tokens.items()}
    gas_money = devnet.node.balance(hot)

    events = driven(keeper, 6)

    realised = worth(thin, held) - (gas_money - devnet.node.balance(hot))
    predicted = sum(int(one["net_profit_wei"]) for one in planned_steps(events))
    left = {
        account
        for account, words in account_data(
            devnet, thin.accounts, devnet.node.block_number()
        ).items()
        if words[5] < LINE
    }
    assert len(decisions(events, "liquidate")) >= 5
    assert len(left) >= 10
    assert {last_decisions(events)[one]["reason"] for one in left} == {"exit_too_shallow"}
    assert all(not one["failure"] and int(one["profit"]) > 0 for one in plans_of(events))
    assert realised > 0
    assert abs(realised - predicted) * 100 <= predicted
