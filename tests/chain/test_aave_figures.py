"""What a pool does without the log that usually states it is no missing log."""

import pytest

from keeper.book.follower import Follower
from keeper.chain.reader import connect
from keeper.composition.wiring import load_market
from keeper.devnet.assets import PRICE_UNIT
from keeper.devnet.sections import market_of
from keeper.domain.units import UINT256_MAX

YES = True
FALL = {"WETH": 2_600 * PRICE_UNIT, "LINK": 11 * PRICE_UNIT}
DAY = 24 * 3_600


@pytest.fixture
async def reader(devnet):
    async with connect([f"http://127.0.0.1:{devnet.node.port}"]) as made:
        yield made


async def test_collateral_taken_as_a_tokens_is_no_missing_log(devnet, reader):
    """From 3.3 on its indices move then, and no ``ReserveDataUpdated`` states them."""
    book = Follower(reader, [load_market(market_of(devnet), reader)])
    await book.start(await reader.head())
    devnet.set_prices(FALL, leave_pools=True)
    devnet.pass_time(DAY)
    (taken,) = await book.advance(await reader.head())
    pool, done = devnet.aave.pool, 0
    for health in taken.liquidatable():
        collateral, debts = taken.balances(health.account)
        pledged = [one for one in collateral if one.token != debts[0].token]
        if not pledged:
            continue
        amount = min(debts[0].amount // 3, UINT256_MAX)
        call = ("liquidationCall", pledged[0].token, debts[0].token, health.account, amount, YES)
        if done == 3:
            break
        pool.send(*call)
        done += 1
        await book.advance(await reader.head())

        assert [one.describe() for one in book.looks.explanations.open] == []
    assert done
