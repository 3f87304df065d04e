"""What would happen if prices fell is what happens when they do."""

import numpy as np
import pytest

from keeper.cli.stress_work import tabled
from keeper.devnet.morpho_markets import BROKEN
from keeper.domain.units import WAD
from keeper.risk.stress import stressed
from keeper.risk.table import factors
from tests.chain.conformance.books import advanced, followed
from tests.chain.conformance.morpho import ANSWERS

CENTS = 10**8
FALLS = ({"WETH": -12}, {"WETH": -15, "WBTC": -10}, {"WETH": -40, "WBTC": -40, "LINK": -40})


def table_of(snapshots):
    """Return the market as a table whose unit is one dollar."""
    return tabled(snapshots, {one.market: 1 / one.base_unit for one in snapshots})[0]


def liquidatable(table, flags):
    """Return whom the flags name."""
    found = zip(table.market_of, table.accounts, flags, strict=True)
    return {(table.markets[market], account) for market, account, flag in found if flag}


def told_by_hand(world, fall):
    """Let the oracle that follows no feed say what the others do."""
    if world.devnet.morpho is not None and "LINK" in fall:
        oracle = world.devnet.morpho.markets[BROKEN].oracle
        oracle.send("set", oracle.call("price") * (100 + fall["LINK"]) // 100, ANSWERS)


async def test_no_move_is_what_stands(world, reader):
    """The same verdicts, and the same health factors as far as a float holds them."""
    book, _ = await followed(reader, world)
    for fall in world.falls:
        world.devnet.set_prices({each: usd * CENTS for each, usd in fall.items()}, leave_pools=True)
        snapshots = await advanced(book, reader)
        table = table_of(snapshots)
        healths = [one for each in snapshots for one in each.accounts() if not one.unpriced]

        result = stressed(table, factors(table, {}))

        assert liquidatable(table, result.liquidatable) == {
            (one.market, one.account) for one in healths if one.liquidatable
        }
        assert not result.crossed.any()
        stated = {(one.market, one.account): one.health_factor / WAD for one in healths}
        names = [table.markets[market] for market in table.market_of]
        seen = dict(zip(zip(names, table.accounts, strict=True), result.health, strict=True))
        assert seen.keys() == stated.keys()
        assert np.allclose([seen[one] for one in stated], list(stated.values()), rtol=1e-12, atol=0)


@pytest.mark.parametrize("fall", FALLS, ids=str)
async def test_a_fall_makes_exactly_the_predicted_accounts_liquidatable(world, reader, fall):
    """Predicted at one block, then done through the real feeds."""
    devnet = world.devnet
    book, snapshots = await followed(reader, world)
    table = table_of(snapshots)
    moves = {devnet.tokens[symbol].address: percent / 100 for symbol, percent in fall.items()}
    if "WETH" in fall:
        moves[devnet.tokens["wstETH"].address] = fall["WETH"] / 100
    predicted = stressed(table, factors(table, moves))

    before = devnet.prices()
    devnet.set_prices(
        {symbol: before[symbol] * (100 + percent) // 100 for symbol, percent in fall.items()},
        leave_pools=True,
    )
    told_by_hand(world, fall)
    snapshots = await advanced(book, reader)

    assert predicted.crossed.any()
    assert liquidatable(table, predicted.liquidatable) == {
        (one.market, each.account)
        for one in snapshots
        for each in one.accounts()
        if each.liquidatable
    }
