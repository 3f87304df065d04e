"""Claims about Uniswap v3 curves that hold for any pool."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.units import Address, Pips, TokenUnits
from keeper.quotes.uniswap_v3.curve import UniswapV3Curve
from keeper.quotes.uniswap_v3.depth import Depth, Position
from keeper.quotes.uniswap_v3.tick_math import (
    MAX_SQRT_RATIO,
    MAX_TICK,
    MIN_SQRT_RATIO,
    MIN_TICK,
    sqrt_ratio_at_tick,
    tick_at_sqrt_ratio,
)

A, B = Address("0x" + "0" * 39 + "1"), Address("0x" + "0" * 39 + "2")
POOL = Address("0x" + "0" * 39 + "3")


@st.composite
def curves(draw: st.DrawFn) -> UniswapV3Curve:
    """A pool with positions around its price, some of them far from it."""
    spacing = draw(st.sampled_from([1, 10, 60, 200]))
    fee = draw(st.sampled_from([100, 500, 3000, 10000]))
    here = draw(st.integers(-1000, 1000))
    net = dict[int, int]()
    for _ in range(draw(st.integers(1, 5))):
        lower = here + draw(st.integers(-600, 600))
        upper = lower + draw(st.integers(1, 900))
        liquidity = draw(st.integers(1, 10**24))
        net[lower * spacing] = net.get(lower * spacing, 0) + liquidity
        net[upper * spacing] = net.get(upper * spacing, 0) - liquidity
    tick = here * spacing
    active = sum(change for at, change in net.items() if at <= tick)
    depth = Depth(ticks=net.items(), tick=tick, liquidity=active, spacing=spacing, fee=fee)
    position = Position(sqrt_ratio_at_tick(tick), below=False)
    return UniswapV3Curve(pool=POOL, tokens=(A, B), fee=Pips(fee), depth=depth, position=position)


amounts = st.integers(1, 10**26).map(TokenUnits)


@pytest.mark.slow
@given(curves(), amounts, amounts, st.sampled_from([A, B]))
def test_more_in_is_never_less_out(
    curve: UniswapV3Curve, one: TokenUnits, other: TokenUnits, token: Address
) -> None:
    """Selling more brings at least as much; what fills the greater sale fills the smaller."""
    small, great = (curve.sold(token, each) for each in sorted((one, other)))
    if great is not None:
        assert small is not None
        assert small.amount_out <= great.amount_out


@pytest.mark.slow
@given(curves(), amounts, st.sampled_from([(A, B), (B, A)]))
def test_a_round_trip_never_favours_the_trader(
    curve: UniswapV3Curve, amount: TokenUnits, way: tuple[Address, Address]
) -> None:
    """Selling and selling back returns no more than went in."""
    there = curve.sold(way[0], amount)
    if there is not None:
        back = there.after.sold(way[1], there.amount_out)
        assert back is None or back.amount_out <= amount


@pytest.mark.slow
@given(curves(), amounts, st.sampled_from([(A, B), (B, A)]))
def test_buying_what_a_sale_brings_costs_what_the_sale_took(
    curve: UniswapV3Curve, amount: TokenUnits, way: tuple[Address, Address]
) -> None:
    """
    The input for an output gives it, and is no more than an input that gives it but for roundings.

    Every step to a tick rounds its input and its fee up by less than a unit each.
    """
    sale = curve.sold(way[0], amount)
    if sale is not None and sale.amount_out:
        purchase = curve.bought(way[1], sale.amount_out)
        assert purchase is not None
        assert purchase.amount_in <= sale.amount_in + 2 * (purchase.ticks_crossed + 1)
        again = curve.sold(way[0], purchase.amount_in)
        assert again is not None
        assert again.amount_out >= sale.amount_out


@pytest.mark.slow
@given(curves(), amounts, amounts, st.sampled_from([A, B]))
def test_two_sales_bring_no_more_than_one(
    curve: UniswapV3Curve, one: TokenUnits, other: TokenUnits, token: Address
) -> None:
    """A sale in two parts never brings more than the whole: every part rounds against us."""
    whole = curve.sold(token, TokenUnits(one + other))
    first = curve.sold(token, one)
    second = first.after.sold(token, other) if first is not None else None
    if whole is not None and first is not None and second is not None:
        assert first.amount_out + second.amount_out <= whole.amount_out


@pytest.mark.slow
@given(curves(), amounts, amounts)
def test_quotes_do_not_depend_on_what_was_asked_before(
    curve: UniswapV3Curve, one: TokenUnits, other: TokenUnits
) -> None:
    """The sums that grow on demand are a cache: a fresh pool of the same state answers the same."""
    up = curve.sold(B, one)
    asked = [curve.sold(A, one), up and up.after.sold(A, other), curve.bought(A, other)]
    ticks = list(zip(curve.depth.ticks, _changes(curve.depth.liquidity), strict=True))
    tick = curve.position.tick
    fresh = UniswapV3Curve(
        pool=POOL,
        tokens=(A, B),
        fee=curve.fee,
        depth=Depth(
            ticks=ticks,
            tick=tick,
            liquidity=curve.depth.active(tick),
            spacing=curve.depth.spacing,
            fee=curve.fee,
        ),
        position=curve.position,
    )
    bought, sold = fresh.bought(A, other), fresh.sold(A, one)
    assert (_facts(sold), _facts(bought)) == (_facts(asked[0]), _facts(asked[2]))


def test_nothing_is_traded_past_the_known_ticks() -> None:
    """A swap that would leave the known ticks is None; one that stays within is a trade."""
    depth = Depth(
        ticks=[], tick=0, liquidity=10**18, spacing=60, fee=3000, lowest=0, highest=15_300
    )
    start = Position(sqrt_ratio_at_tick(60), below=False)
    curve = UniswapV3Curve(pool=POOL, tokens=(A, B), fee=Pips(3000), depth=depth, position=start)
    reached = curve.sold(A, TokenUnits(1))
    assert reached is not None
    assert curve.sold(A, TokenUnits(10**18)) is None
    assert curve.bought(B, TokenUnits(10**18)) is None


@pytest.mark.slow
@given(st.integers(MIN_TICK, MAX_TICK - 1))
def test_a_tick_and_its_price_are_inverse(tick: int) -> None:
    """A tick's price is in that tick; one less is in the tick below."""
    price = sqrt_ratio_at_tick(tick)
    assert tick_at_sqrt_ratio(price) == tick
    if tick > MIN_TICK:
        assert tick_at_sqrt_ratio(price - 1) == tick - 1


def test_tick_math_has_the_contracts_values() -> None:
    """The ends of the range and price one, as TickMath.sol states them."""
    assert sqrt_ratio_at_tick(MIN_TICK) == MIN_SQRT_RATIO
    assert sqrt_ratio_at_tick(MAX_TICK) == MAX_SQRT_RATIO
    assert sqrt_ratio_at_tick(0) == 2**96
    assert tick_at_sqrt_ratio(MAX_SQRT_RATIO - 1) == MAX_TICK - 1


def _changes(active: list[int]) -> list[int]:
    return [after - before for before, after in itertools.pairwise(active)]


def _facts(trade: object) -> object:
    if trade is None:
        return None
    return (trade.amount_in, trade.amount_out, trade.after.position, trade.ticks_crossed)
