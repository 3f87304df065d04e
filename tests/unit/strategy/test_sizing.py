"""The best amount along one way, against exact evaluation of other amounts."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keeper.domain.decision import SkipReason
from keeper.domain.opportunity import LiquidityKey
from keeper.strategy.pricing import Funded, Miss, Priced, priced, proceeds, worst_profit
from keeper.strategy.remaining import Remaining
from keeper.strategy.sizing import EVERYTHING, FINE, Sized, Way, ceiling, sized
from tests.unit.strategy.market import (
    POLICY,
    TERMS,
    USD,
    USDC,
    WAD,
    WETH,
    Lender,
    Pair,
    Pool,
    address,
    refusal,
    route,
    weth_pool,
)

ACCOUNT = address(5)
KEY = LiquidityKey(holder=address(800), token=WETH)


def way_over(pool, *, swap=False, lender=None, **pair):
    """A way over one pool, with everything or part of the debt."""
    return Way(
        opportunity=Pair(ACCOUNT, **pair),
        route=route(pool),
        lenders=None if swap else (lender or Lender(),),
    )


def left(*pools, liquidity=None):
    return Remaining(curves={pool.pool: pool for pool in pools}, liquidity=liquidity or {})


def test_everything_is_taken_where_the_last_dollar_still_pays():
    """A deep pool: the end point is the best, and no search is needed."""
    pool = weth_pool(10**9)

    best = sized(way_over(pool, debt=10_000 * USD, partial=(1, 9_900 * USD)), left(pool), TERMS)

    assert isinstance(best, Sized)
    assert best.priced.outcome.amount == EVERYTHING


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    depth=st.integers(50_000, 5_000_000),
    debt=st.integers(2_000, 2_000_000),
    other=st.integers(1, 10**6),
    swap=st.booleans(),
)
def test_no_other_amount_earns_more(depth, debt, other, swap):
    """The search ends on the top of the curve: to a millionth, by exact evaluation."""
    pool = weth_pool(depth)
    way = way_over(pool, swap=swap, debt=debt * USD, partial=(1, debt * USD))
    best = sized(way, left(pool), TERMS, FINE)
    if isinstance(best, Miss):
        best_net = best.net_profit
        funded = Funded(
            opportunity=way.opportunity, route=way.route, lender=None if swap else Lender()
        )
    else:
        best_net, funded = best.net, best.funded

    rival = priced(funded, way.outcome(max(1, debt * USD * other // 10**6)), left(pool), TERMS)

    assert isinstance(rival, Miss) or rival.net <= best_net + abs(best_net) // 10**6 + 10**9


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    depth=st.integers(20_000, 10_000_000),
    debt=st.integers(1_000, 500_000),
    growth=st.integers(0, 500 * USD),
    shrinkage=st.integers(0, 10**17),
    swap=st.booleans(),
)
def test_no_plan_loses_at_its_worst(depth, debt, growth, shrinkage, swap):
    """The worst landing inside the window still pays what the executor enforces, and the gas."""
    pool = weth_pool(depth)
    way = way_over(pool, swap=swap, debt=debt * USD, growth=growth, shrinkage=shrinkage)
    best = sized(way, left(pool), TERMS)
    if isinstance(best, Miss):
        return

    worst = worst_profit(best.funded, best.priced, left(pool))

    assert worst >= best.min_profit > 0
    assert TERMS.net(USDC, best.min_profit, best.priced.gas) >= 0


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(depth=st.integers(20_000, 10_000_000), debt=st.integers(500, 2_000_000))
@example(depth=20_000, debt=906_094)
def test_nothing_nets_more_than_the_ceiling(depth, debt):
    """The queue's order rests on it: a way is sized no later than its profit deserves."""
    pool = weth_pool(depth)
    way = way_over(pool, debt=debt * USD, partial=(1, debt * USD))
    best = sized(way, left(pool), TERMS, FINE)

    most = ceiling(way, left(pool), TERMS)

    assert (best.net if isinstance(best, Sized) else best.net_profit) <= most


@pytest.mark.parametrize("debt", [20, 300, 5_000, 10**6])
def test_the_ceiling_of_a_deep_pool_is_near_the_truth(debt):
    """However small the account: the rounding of a small sample is not a profit."""
    pool = weth_pool(10**12)
    way = way_over(pool, debt=debt * USD)
    everything = way.outcome(EVERYTHING)
    funded = Funded(opportunity=way.opportunity, route=way.route, lender=Lender())
    exact = priced(funded, everything, left(pool), TERMS)

    most = ceiling(way, left(pool), TERMS) + TERMS.gas_cost(
        TERMS.gas_model.at_least(way.opportunity)
    )

    truth = exact.net + TERMS.gas_cost(exact.gas)
    assert truth <= most <= truth + TERMS.valuation.wei_floor(USDC, debt * USD) // 5_000


def test_flash_swap_keeps_what_was_borrowed_and_not_needed():
    """Funds for the debt at the deadline are borrowed; what is left over is ours."""
    pool = weth_pool(10**8)
    funded = Funded(opportunity=Pair(ACCOUNT, 1), route=route(pool), lender=None)
    bought = pool.bought(USDC, 1_000 * USD)
    rest = bought.after.sold(WETH, 10**18 - bought.amount_in)

    got = proceeds(funded, 10**18, 1_000 * USD, left(pool))

    assert got.amount == 1_000 * USD + rest.amount_out
    assert got.paid_out == (got.amount,)
    assert got.after[pool.pool] == rest.after


def test_flash_swap_that_takes_all_the_collateral_sells_nothing():
    """A sale of nothing would be refused by the pool."""
    pool = weth_pool(10**8)
    funded = Funded(opportunity=Pair(ACCOUNT, 1), route=route(pool), lender=None)
    exactly = pool.bought(USDC, 1_000 * USD).amount_in

    got = proceeds(funded, exactly, 1_000 * USD, left(pool))

    assert (got.amount, got.paid_out) == (1_000 * USD, (1_000 * USD,))


def test_flash_swap_that_collateral_does_not_pay_is_too_shallow():
    """The pool must be paid inside its own callback."""
    pool = weth_pool(10_000)

    miss = sized(way_over(pool, swap=True, debt=9_000 * USD), left(pool), TERMS)

    assert miss.reason is SkipReason.EXIT_TOO_SHALLOW


def test_pool_that_is_not_on_the_book_is_too_shallow():
    """A route whose pool was not read cannot be sold along."""
    miss = sized(way_over(weth_pool(10**6), debt=10_000 * USD), left(), TERMS)

    assert miss.reason is SkipReason.EXIT_TOO_SHALLOW
    assert ceiling(way_over(weth_pool(10**6), debt=10_000 * USD), left(), TERMS) is None


def test_lender_that_can_lend_part_bounds_the_amount():
    """Less than everything is better than nothing."""
    pool = weth_pool(10**8)
    lender = Lender(available=4_000 * USD)
    way = way_over(pool, lender=lender, debt=10_000 * USD, partial=(USD, 9_000 * USD))

    best = sized(way, left(pool), TERMS)

    assert best.priced.outcome.spend_at_most <= 4_000 * USD
    assert best.priced.outcome.spend > 3_990 * USD


def test_lender_below_the_smallest_amount_is_no_funding():
    """The detail says how much there was."""
    pool = weth_pool(10**8)
    way = way_over(
        pool, lender=Lender(available=USD), debt=10_000 * USD, partial=(2 * USD, 9 * USD)
    )

    miss = sized(way, left(pool), TERMS)

    assert miss.reason is SkipReason.NO_FUNDING
    assert f"lends {USD} of" in miss.detail


def test_holder_that_lends_and_pays_out_needs_both():
    """The loan is missing from the holder while it pays out."""
    holder = address(701)
    key = LiquidityKey(holder=holder, token=USDC)
    pair = Pair(ACCOUNT, 10_000 * USD, receive_token=USDC, drawn_from=key)
    funded = Funded(opportunity=pair, route=route(), lender=Lender(holder=holder))
    short = left(liquidity={key: 20_000 * USD})
    enough = left(liquidity={key: 20_500 * USD})

    refused = priced(funded, pair.outcome(EVERYTHING), short, TERMS)

    assert refused.reason is SkipReason.RESERVE_ILLIQUID
    assert isinstance(priced(funded, pair.outcome(EVERYTHING), enough, TERMS), Priced)


def test_illiquid_reserve_leaves_a_smaller_amount():
    """Half of the collateral can be paid out: half is taken."""
    pool = weth_pool(10**9)
    way = way_over(pool, debt=20_000 * USD, partial=(USD, 19_000 * USD), drawn_from=KEY)

    best = sized(way, left(pool, liquidity={KEY: 5 * WAD}), TERMS, FINE)

    assert 4 * WAD < best.priced.outcome.receive <= 5 * WAD


def test_refusal_of_everything_falls_back_to_the_largest_part():
    """Where dust must not be left, only part may be open to us."""
    pool = weth_pool(10**9)
    no = refusal(SkipReason.MUST_NOT_LEAVE_DUST)
    part = way_over(pool, debt=20_000 * USD, partial=(USD, 9_000 * USD), refuses=no)

    best = sized(part, left(pool), TERMS)
    whole = sized(way_over(pool, debt=20_000 * USD, refuses=no), left(pool), TERMS)

    assert best.priced.outcome.amount == 9_000 * USD
    assert whole.reason is SkipReason.MUST_NOT_LEAVE_DUST
    assert ceiling(way_over(pool, debt=1, refuses=no), left(pool), TERMS) is None


def test_pool_off_the_oracle_has_no_depth_at_a_price_that_pays():
    """Even the first unit sells too low, where the market's own prices would pay."""
    pool = weth_pool(10**9, price=1_800)

    miss = sized(way_over(pool, debt=50_000 * USD, partial=(1, 49_000 * USD)), left(pool), TERMS)

    assert miss.reason is SkipReason.EXIT_TOO_SHALLOW
    assert miss.net_profit < 0


def test_bonus_that_the_pools_fee_eats_is_below_the_minimum():
    """At the market's own prices it would not pay either: no depth could help."""
    pool = weth_pool(10**9, fee=60_000)

    miss = sized(way_over(pool, debt=50_000 * USD, partial=(1, 49_000 * USD)), left(pool), TERMS)

    assert miss.reason is SkipReason.BELOW_MIN_PROFIT


def test_deadline_that_may_not_pay_is_refused():
    """It nets enough now, but the window's worst does not pay the gas."""
    pool = weth_pool(10**9)

    miss = sized(way_over(pool, debt=10_000 * USD, growth=600 * USD), left(pool), TERMS)

    assert miss.reason is SkipReason.BELOW_MIN_PROFIT
    assert "deadline" in miss.detail


def test_deadline_that_may_not_pay_its_gas_is_refused():
    """A worst case above zero is not enough."""
    pool = weth_pool(10**9)

    miss = sized(way_over(pool, debt=10_000 * USD, growth=464 * USD), left(pool), TERMS)

    assert "deadline" in miss.detail


def test_plan_too_big_for_any_transaction_is_refused():
    """No gas limit would carry it."""
    pool = weth_pool(10**9)

    miss = sized(way_over(pool, debt=900_000 * USD, gas=16_000_000), left(pool), TERMS)

    assert miss.reason is SkipReason.GAS_TOO_EXPENSIVE


def test_enforced_minimum_is_gas_and_policy_where_the_profit_is_ample():
    """Five dollars and the gas, in USDC, rounded up."""
    pool = weth_pool(10**9)

    best = sized(way_over(pool, debt=100_000 * USD), left(pool), TERMS)

    gas_usd = TERMS.gas_cost(best.priced.gas) * 2_000 * USD
    assert best.min_profit == 5 * USD + -(-gas_usd // WAD)
    assert POLICY.min_profit_usd_e8 == 5 * 10**8


def test_cheapest_lender_that_can_lend_all_is_chosen():
    """A free lender with too little comes after a dear one with enough."""
    pool = weth_pool(10**9)
    free = Lender(available=USD, fee_bps=0, lender=address(710))
    dear = Lender(fee_bps=9, lender=address(711))
    fair = Lender(fee_bps=5, lender=address(712))
    way = Way(
        opportunity=Pair(ACCOUNT, 10_000 * USD), route=route(pool), lenders=(free, dear, fair)
    )

    assert sized(way, left(pool), TERMS).funded.lender is fair


class Shallow(Pool):
    """A pool that buys a little and then has nothing left to sell into."""

    __slots__ = ()

    def sold(self, token_in, amount_in):
        return super().sold(token_in, amount_in) if amount_in < WAD // 100 else None


def test_purchase_without_a_sale_behind_it_is_too_shallow():
    """What is left of the collateral must find a buyer too."""
    pool = Shallow(address(900), (WETH, USDC), (10**6 * WAD, 2 * 10**9 * USD))
    funded = Funded(opportunity=Pair(ACCOUNT, 1), route=route(pool), lender=None)

    assert proceeds(funded, 10 * WAD, 1_000 * USD, left(pool)) is None
