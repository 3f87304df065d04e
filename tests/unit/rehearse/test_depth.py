import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.rehearse.depth import Asset, ProductCurve, VirtualVenue

ETH, BTC, USD, POOL, OTHER = "0xE", "0xB", "0xD", "0xP", "0xQ"
CURVE = ProductCurve(pool=POOL, tokens=(ETH, USD), reserves=(10**22, 3 * 10**13))
PRICES = {ETH: 3_000 * 10**8, BTC: 60_000 * 10**8, USD: 10**8}


def venue():
    assets = {
        ETH: Asset(token=ETH, decimals=18, depth_usd=30_000_000, pool=POOL),
        BTC: Asset(token=BTC, decimals=8, depth_usd=20_000_000, pool=OTHER),
        USD: Asset(token=USD, decimals=6, depth_usd=0, pool="0x0"),
    }
    made = VirtualVenue(assets=assets, dollar=USD)
    made.moved(PRICES, 0)
    return made


@pytest.mark.slow
@given(st.integers(1, 10**22))
def test_a_pool_never_pays_out_more_than_its_product_allows(amount):
    """Rounding is the pool's."""
    trade = CURVE.sold(ETH, amount)
    if trade is None:
        return
    first, second = trade.after.reserves

    assert first * second >= CURVE.reserves[0] * CURVE.reserves[1]
    assert second == CURVE.reserves[1] - trade.amount_out


@pytest.mark.slow
@given(st.integers(1, 2 * 10**13))
def test_what_is_bought_can_be_had_for_what_is_asked_and_hardly_for_less(amount):
    """The purchase is the sale's inverse, rounded against the buyer by a hair."""
    trade = CURVE.bought(USD, amount)

    assert CURVE.sold(ETH, trade.amount_in).amount_out >= amount


def test_nobody_can_buy_all_of_it():
    """A constant product has no bottom."""
    assert CURVE.bought(USD, CURVE.reserves[1]) is None


async def test_a_sale_goes_through_the_dollar():
    """Two pools, each against dollars; one where dollars are sold or bought."""
    exits = await venue().exits([(ETH, BTC), (ETH, USD), (USD, BTC)], None)

    hops = {
        pair: [(h.token_in, h.token_out) for h in r.hops] for pair, (r,) in exits.routes.items()
    }
    assert hops == {
        (ETH, BTC): [(ETH, USD), (USD, BTC)],
        (ETH, USD): [(ETH, USD)],
        (USD, BTC): [(USD, BTC)],
    }
    assert exits.curves[POOL].reserves == (10_000 * 10**18, 30_000_000 * 10**6)


async def test_a_pool_is_back_at_the_price_a_minute_after_it_was_used():
    """Within a minute the next sale meets what the last one left."""
    made = venue()
    used = CURVE.sold(ETH, 10**20).after
    made.curves[POOL], made.used_at = used, 100

    made.moved(PRICES, 112)
    assert made.curves[POOL] is used
    made.moved(PRICES, 160)
    assert made.curves[POOL].reserves == (10_000 * 10**18, 30_000_000 * 10**6)
