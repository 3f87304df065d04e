"""The sequence: order, depth shared between accounts, reasons, batches."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.curve import bought_along, sold_along
from keeper.domain.decision import Liquidate, Skip, SkipReason
from keeper.domain.opportunity import LiquidityKey
from keeper.domain.plan import FundingKind
from keeper.strategy.batches import packed
from keeper.strategy.candidate import Tried, dust, quotable
from keeper.strategy.gas import limits_of
from keeper.strategy.ranking import sequenced
from tests.unit.strategy.market import (
    COSTS,
    GAS,
    POLICY,
    TERMS,
    USD,
    USDC,
    VALUATION,
    WAD,
    WBTC,
    WETH,
    Lender,
    Pair,
    Pool,
    address,
    candidate,
    exits,
    refusal,
    route,
    weth_pool,
)

NONE = exits()


def run(candidates, found, liquidity=None, policy=POLICY):
    return sequenced(candidates, found, liquidity or {}, costs=COSTS, policy=policy, gas_model=GAS)


def plans_of(decisions):
    return [one.plan for one in decisions if isinstance(one, Liquidate)]


def over(*pools):
    return exits(*(route(pool) for pool in pools), pools=pools)


def pair(number, usd, **changes):
    return Pair(address(number), usd * USD, **changes)


def replayed(plans, curves):
    """What the plans earn one after the other, in the spend token, by the fundings' meaning."""
    curves, total = dict(curves), 0
    for plan in plans:
        if plan.funding.kind is FundingKind.FLASH_LOAN:
            sale = sold_along(plan.route, plan.receive, curves)
            total += sale.amount_out - plan.spend - plan.funding.fee
        else:
            bought = bought_along(plan.route, plan.funding.amount, curves)
            curves.update(bought.after)
            sale = sold_along(plan.route, plan.receive - bought.amount_in, curves)
            total += plan.funding.amount + sale.amount_out - plan.spend
        curves.update(sale.after)
    return total


@pytest.mark.slow
def test_forty_accounts_on_one_thin_pool_end_for_lack_of_depth():
    """No plan loses, the first ones pay, and every other account says why."""
    pool = weth_pool(400_000)
    accounts = [
        candidate(pair(number, 20_000, partial=(1, 19_900 * USD))) for number in range(1, 41)
    ]

    decisions = run(accounts, over(pool))

    plans = plans_of(decisions)
    skips = [one for one in decisions if isinstance(one, Skip)]
    assert plans
    assert all(plan.net_profit > 0 for plan in plans)
    assert len(plans) + len(skips) == 40
    assert {one.reason for one in skips} == {SkipReason.EXIT_TOO_SHALLOW}
    assert sum(plan.gross_profit for plan in plans) == replayed(plans, over(pool).curves)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    usd=st.lists(st.integers(100, 90_000), min_size=1, max_size=8),
    depth=st.integers(50_000, 3_000_000),
    shuffle=st.randoms(use_true_random=False),
)
def test_sequence_does_not_depend_on_the_order_of_its_input(usd, depth, shuffle):
    """Two runs over one block send the same; and what they predict is what a replay earns."""
    found = over(weth_pool(depth), weth_pool(depth // 3, number=901, fee=500))
    accounts = [
        candidate(pair(number, one, partial=(1, one * USD)))
        for number, one in enumerate(usd, start=1)
    ]
    shuffled = shuffle.sample(accounts, len(accounts))

    decisions = run(accounts, found)

    plans = plans_of(decisions)
    assert run(shuffled, found) == decisions
    assert sum(plan.gross_profit for plan in plans) == replayed(plans, found.curves)
    assert len(decisions) == len(accounts)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    usd=st.lists(st.integers(3_000, 90_000), min_size=1, max_size=8),
    held=st.integers(0, 60),
    lent=st.integers(0, 90_000),
)
def test_no_holder_is_overdrawn(usd, held, lent):
    """Payouts of the sequence fit into what the reserve holds, and loans into the lender."""
    key = LiquidityKey(holder=address(800), token=WETH)
    lender = Lender(available=lent * USD)
    accounts = [
        candidate(
            pair(number, one, partial=(1, one * USD), drawn_from=key), lenders={USDC: (lender,)}
        )
        for number, one in enumerate(usd, start=1)
    ]

    plans = plans_of(run(accounts, over(weth_pool(10**9)), {key: held * WAD}))

    assert sum(plan.receive for plan in plans) <= held * WAD
    assert all(
        plan.funding.amount <= lent * USD
        for plan in plans
        if plan.funding.kind is FundingKind.FLASH_LOAN
    )


def test_best_goes_first_and_equal_profits_by_account():
    """The order is by net profit, ties by address."""
    accounts = [
        candidate(pair(number, usd)) for number, usd in ((3, 9_000), (2, 9_000), (1, 5_000))
    ]

    plans = plans_of(run(accounts, over(weth_pool(10**12))))

    assert [plan.account for plan in plans] == [address(2), address(3), address(1)]
    assert plans[0].net_profit >= plans[1].net_profit >= plans[2].net_profit


def test_an_account_is_liquidated_once_over_its_best_pair():
    """The other ways are told as alternatives, with what they would net."""
    big, small = pair(1, 20_000), pair(1, 10_000)

    plans = plans_of(run([candidate(small, big)], over(weth_pool(10**9))))

    assert [plan.spend for plan in plans] == [20_000 * USD]
    assert plans[0].alternatives
    assert all("WETH for USDC" in text for text in plans[0].alternatives)


def test_same_token_needs_no_sale_but_a_lender():
    """Nothing to swap: the profit is what is received less spent and fee."""
    same = pair(1, 50_000, receive_token=USDC)

    plan = plans_of(run([candidate(same)], NONE))[0]

    assert plan.route.hops == ()
    assert plan.gross_profit == 2_500 * USD - 25 * USD
    assert plan.funding.name == "aave_v3_flash_loan"


def test_pool_that_lends_without_a_sale_is_vouched_for_by_its_factory():
    """The executor asks the plan's factory about the pool; nobody's factory is not one."""
    pool = Lender(USDC, fee_bps=1, lender=address(78))
    found = replace(NONE, lenders={USDC: (pool,)}, factories={pool.lender: address(1)})
    same = candidate(pair(1, 50_000, receive_token=USDC))

    plan = plans_of(run([same], found))[0]

    assert (plan.funding.lender, plan.route.factory) == (pool.lender, address(1))


def test_pool_of_another_factory_does_not_lend_for_a_sale():
    """One factory vouches for the pools of the route and for the lender; they must be its own."""
    foreign = Lender(USDC, fee_bps=0, lender=address(78))
    found = over(weth_pool(40_000_000))
    found = replace(found, lenders={USDC: (foreign,)}, factories={foreign.lender: address(2)})

    plan = plans_of(run([candidate(pair(1, 100_000))], found))[0]

    assert plan.funding.lender != foreign.lender


def test_flash_swap_is_chosen_where_its_fee_saving_is_worth_its_gas():
    """A large debt: five basis points of it cost more than one swap."""
    plan = plans_of(run([candidate(pair(1, 100_000))], over(weth_pool(10**9))))[0]

    assert (plan.funding.kind, plan.funding.source) == (FundingKind.FLASH_SWAP, 2)
    assert plan.funding.lender == weth_pool(1).pool


def test_a_callback_needs_no_loan_and_no_fee():
    """What the liquidation itself brings is taken where every lender asks for more."""
    own = Lender(USDC, available=2**256 - 1, fee_bps=0, gas=15_000, lender=address(77))
    lent = {USDC: (Lender(USDC, available=10**15, fee_bps=5),)}
    one = pair(1, 100_000, own_funding=(own,))
    (plan,) = plans_of(run([candidate(one, lenders=lent)], over(weth_pool(40_000_000))))

    assert plan.funding.kind is FundingKind.CALLBACK
    assert (plan.funding.lender, plan.funding.fee) == (own.lender, 0)


def test_a_callback_serves_its_own_liquidation_only():
    """Another account of the same token does not get it."""
    own = Lender(USDC, available=2**256 - 1, fee_bps=0, gas=15_000, lender=address(77))
    both = [candidate(pair(1, 100_000, own_funding=(own,))), candidate(pair(2, 90_000))]
    kinds = {
        plan.account: plan.funding.kind for plan in plans_of(run(both, over(weth_pool(40_000_000))))
    }

    assert kinds == {address(1): FundingKind.CALLBACK, address(2): FundingKind.FLASH_SWAP}


def test_move_the_other_way_makes_a_missed_account_pay():
    """The first sale of USDC lifts WETH's price; the account that sells WETH is tried again."""
    pool = Pool(address(900), (WETH, USDC), (500 * WAD, 900_000 * USD), 500)
    there = route(pool, start=USDC)
    found = exits(route(pool), there, pools=(pool,))
    seller = candidate(pair(1, 10_000))
    buyer = candidate(
        Pair(address(2), 60 * WAD, receive_token=USDC, spend_token=WETH),
        lenders={WETH: (Lender(token=WETH, available=10**30),)},
    )

    plans = plans_of(run([seller, buyer], found))

    assert run([seller], found)[0].reason is SkipReason.EXIT_TOO_SHALLOW
    assert [plan.account for plan in plans] == [address(2), address(1)]


def skip_of(one, found=NONE, liquidity=None, policy=POLICY):
    return run([one], found, liquidity, policy)[0]


@pytest.mark.parametrize(
    ("one", "found", "reason"),
    [
        (candidate(pair(1, 10)), NONE, SkipReason.DUST),
        (candidate(pair(1, 110)), NONE, SkipReason.BELOW_MIN_PROFIT),
        (candidate(pair(1, 10_000)), NONE, SkipReason.NO_EXIT_ROUTE),
        (
            candidate(pair(1, 10_000, receive_token=USDC), lenders={}),
            NONE,
            SkipReason.NO_FUNDING,
        ),
        (
            candidate(
                pair(1, 10_000, receive_token=USDC),
                lenders={},
                lender_refusals={USDC: (refusal(SkipReason.FLASH_LOAN_DISABLED),)},
            ),
            NONE,
            SkipReason.FLASH_LOAN_DISABLED,
        ),
        (
            candidate(account=address(1), refusals=(refusal(SkipReason.RESERVE_PAUSED),)),
            NONE,
            SkipReason.RESERVE_PAUSED,
        ),
        (candidate(account=address(1)), NONE, SkipReason.NO_COLLATERAL),
        (
            candidate(
                pair(1, 10_000),
                valuation=replace(VALUATION, prices={}),
            ),
            NONE,
            SkipReason.PRICE_UNAVAILABLE,
        ),
        (
            candidate(pair(1, 10_000), pair(1, 10), refusals=(refusal(SkipReason.SENTINEL),)),
            NONE,
            SkipReason.NO_EXIT_ROUTE,
        ),
    ],
)
def test_every_account_left_alone_has_its_reason(one, found, reason):
    """The reason nearest to being sent, so that people can count and act."""
    skip = skip_of(one, found)

    assert (skip.reason, bool(skip.detail)) == (reason, True)


def test_lender_on_the_route_is_locked():
    """A pool cannot be sold into while it lends, and this venue has no flash swap."""
    pool = weth_pool(10**9)
    found = exits(route(pool, venue="other"), pools=(pool,))
    own = candidate(pair(1, 10_000), lenders={USDC: (Lender(lender=pool.pool),)})

    assert skip_of(own, found).reason is SkipReason.POOL_LOCKED


def test_illiquid_reserve_is_told_apart():
    """The collateral is there but cannot be paid out."""
    key = LiquidityKey(holder=address(800), token=WETH)
    one = candidate(pair(1, 10_000, drawn_from=key))

    skip = skip_of(one, over(weth_pool(10**9)), {key: 0})

    assert skip.reason is SkipReason.RESERVE_ILLIQUID


def test_repayment_of_an_earlier_plan_pays_out_a_later_one():
    """The reserve was empty; the first plan's repayment fills it."""
    key = LiquidityKey(holder=address(801), token=USDC)
    payer = candidate(pair(1, 50_000, repaid_to=key))
    waiting = candidate(pair(2, 20_000, receive_token=USDC, drawn_from=key))

    plans = plans_of(run([payer, waiting], over(weth_pool(10**9)), {key: 0}))

    assert [plan.account for plan in plans] == [address(1), address(2)]


def test_sample_of_a_tiny_sale_is_not_rounded_away():
    """A token so dear that a thousandth of the sale is less than a unit."""
    pool = Pool(address(960), (WBTC, USDC), (10**12, 600_000_000 * USD), 500)
    found = exits(route(pool, start=WBTC), pools=(pool,))
    one = candidate(Pair(address(1), 600_000, receive_token=WBTC))  # 1,050 units of WBTC at 60,000
    dear = candidate(Pair(address(2), 500_000, receive_token=WBTC))  # 875 units
    free = replace(POLICY, min_profit_usd_e8=0)
    no_gas = replace(COSTS, gas_price=0)

    decisions = sequenced([one, dear], found, {}, costs=no_gas, policy=free, gas_model=GAS)

    assert {plan.account for plan in plans_of(decisions)} == {address(1), address(2)}


def test_dust_is_told_before_any_quote():
    """The pipeline asks the venue for nothing on its account."""
    small, big = pair(1, 10), pair(1, 10_000)

    assert dust(small, TERMS).reason is SkipReason.DUST
    assert quotable(candidate(small, big), COSTS, POLICY, GAS) == (big,)


def test_plans_are_packed_in_order_under_every_limit():
    """Later plans are priced on what earlier ones leave, so none overtakes."""
    accounts = [candidate(pair(number, 10_000)) for number in range(1, 8)]
    plans = plans_of(run(accounts, over(weth_pool(10**9))))
    by_count = replace(POLICY, max_plans_per_transaction=3)
    by_gas = replace(POLICY, max_transaction_gas=GAS.batch_limit(limits_of(plans[:2])))

    counted, gassed = (packed(plans, policy, COSTS, GAS) for policy in (by_count, by_gas))

    assert [len(group) for group in counted] == [3, 3, 1]
    asked = [GAS.batch_limit(limits_of(group)) for group in gassed]
    assert max(asked) <= by_gas.max_transaction_gas
    assert [plan for group in gassed for plan in group] == plans
    assert packed([], POLICY, COSTS, GAS) == []


def test_every_pool_of_a_sale_has_less_to_lend_afterwards():
    """The first of two pools pays out the token between them: a later plan cannot borrow that."""
    first = Pool(address(910), (WBTC, WETH), (100 * 10**8, 3_000 * WAD))
    second = weth_pool(10**8, number=911)
    ten = 10 * WAD
    lender = Lender(WETH, available=ten, lender=first.pool, holder=first.pool, fee_bps=1)
    found = exits(
        route(first, second, start=WBTC), pools=(first, second), lenders={WETH: (lender,)}
    )
    large = candidate(pair(1, 100_000, receive_token=WBTC))
    small = candidate(Pair(address(2), ten, receive_token=WETH, spend_token=WETH))

    alone, both = run([small], found), run([large, small], found)

    assert [one.funding.lender for one in plans_of(alone)] == [first.pool]
    assert [one.account for one in plans_of(both)] == [address(1)]
    assert both[1].reason == SkipReason.NO_FUNDING


def test_a_way_that_was_barred_is_not_taken_again():
    """Pair, route and funding together are a way: the same route with other money is another."""
    one = candidate(pair(1, 100_000))
    found = over(weth_pool(10**9))
    ways = []
    while plans := plans_of(run([one], found)):
        ways.append(Tried.by(plans[0]))
        one = replace(one, barred=frozenset(ways))

    assert len(ways) == len(set(ways)) == 2
    assert len({way.pools for way in ways}) == 1
