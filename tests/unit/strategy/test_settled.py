"""After simulation: the transaction's own gas and profits decide, nothing is lost in sharing."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.decision import SkipReason
from keeper.domain.plan import Batch, SimulatedBatch, SimulatedPlan
from keeper.domain.units import GWEI
from keeper.strategy.batches import packed
from keeper.strategy.ranking import sequenced
from keeper.strategy.settled import losses, settled, sharing_less
from tests.support.scripted_submission import account
from tests.support.scripted_submission import plan as scripted
from tests.unit.strategy.market import (
    COSTS,
    GAS,
    MARKET,
    POLICY,
    USD,
    Pair,
    address,
    candidate,
    exits,
    route,
    weth_pool,
)

NO_MINIMUM = {MARKET: 0}


def a_batch(accounts=3):
    pool = weth_pool(10**9)
    pairs = [Pair(address(number), 10_000 * USD) for number in range(1, accounts + 1)]
    decisions = sequenced(
        [candidate(one) for one in pairs],
        exits(route(pool), pools=(pool,)),
        {},
        costs=COSTS,
        policy=POLICY,
        gas_model=GAS,
    )
    plans = tuple(one.plan for one in decisions)
    return Batch(
        plans=plans,
        executor="0x" + "e" * 40,
        calldata=b"\x01",
        gas_limit=10**7,
        deadline=1,
        net_profit=sum(plan.net_profit for plan in plans),
    )


def as_planned(batch, gas):
    return SimulatedBatch(
        plans=tuple(SimulatedPlan(profit=plan.gross_profit) for plan in batch.plans), gas_used=gas
    )


def enforced(plan):
    """What the executor's minimum is worth, at the plan's own price of the token."""
    return plan.min_profit * plan.gross_profit_wei // plan.gross_profit


@pytest.mark.slow
@given(gas=st.integers(21_000, 2**24))
def test_no_gas_goes_unpaid(gas):
    """The plans together are charged at least what the transaction used."""
    batch = a_batch()

    after = settled(batch, as_planned(batch, gas), NO_MINIMUM, POLICY)

    assert gas <= sum(plan.gas for plan in after) < gas + len(after)


def test_a_smaller_profit_is_worth_less_at_the_same_price():
    """What the executor would really have sent is what the plan is judged by."""
    batch = a_batch(1)
    plan = batch.plans[0]
    half = SimulatedBatch(plans=(SimulatedPlan(profit=plan.gross_profit // 2),), gas_used=plan.gas)

    (after,) = settled(batch, half, NO_MINIMUM, POLICY)

    worth = plan.gross_profit // 2 * plan.gross_profit_wei // plan.gross_profit
    assert after.gross_profit_wei == worth
    assert after.net_profit == worth - plan.gas * plan.gas_price


@pytest.mark.slow
@given(gas=st.integers(21_000, 10**9), minimum=st.integers(0, 10**17))
def test_what_the_executor_enforces_pays_the_gas_that_was_used(gas, minimum):
    """However far the estimate was off: what is sent and passes on chain is no loss."""
    batch = a_batch(1)
    minimums = {MARKET: minimum}

    after = settled(batch, as_planned(batch, gas), minimums, POLICY)

    (plan,) = after
    sent = not losses(after, minimums)
    assert not sent or enforced(plan) >= gas * COSTS.gas_price - 1
    assert plan.min_profit <= plan.gross_profit


@pytest.mark.slow
@given(gas=st.integers(21_000, 10**8))
def test_a_minimum_that_the_window_allows_is_enforced_whole(gas):
    """Gas and the least net profit, both, where the worst landing brings as much."""
    batch = a_batch(1)
    least = 10**15

    (plan,) = settled(batch, as_planned(batch, gas), {MARKET: least}, POLICY)

    wanted = gas * COSTS.gas_price + least
    assert enforced(plan) >= wanted - 1 or plan.min_profit == plan.gross_profit


def verdict(batch, gas, minimum):
    found = losses(
        settled(batch, as_planned(batch, gas), {MARKET: minimum}, POLICY), {MARKET: minimum}
    )
    return [(one.reason, one.net_profit) for one in found]


def test_the_policy_decides_after_the_simulation():
    """Paying the gas is not enough: a wei short of the minimum is refused, with the net profit."""
    batch = a_batch(1)
    batch = replace(batch, plans=tuple(replace(one, sure_profit=10**30) for one in batch.plans))
    profit, price = batch.plans[0].gross_profit_wei, COSTS.gas_price
    gas = 500_000
    net = profit - gas * price

    assert verdict(batch, gas, net) == []
    assert verdict(batch, gas, net + 1) == [(SkipReason.BELOW_MIN_PROFIT, net)]


def test_a_loss_is_told_from_a_small_profit():
    """Gas that eats more than the whole profit is its own reason; so is nothing left at all."""
    batch = a_batch(1)
    gas = batch.plans[0].gross_profit_wei // COSTS.gas_price + 1

    ((reason, net),) = verdict(batch, gas, 0)

    assert (reason, net < 0) == (SkipReason.GAS_TOO_EXPENSIVE, True)


def test_what_pays_now_and_not_at_the_deadline_is_left():
    """The executor may not enforce more than what is sure, and that would not pay the gas."""
    batch = a_batch(1)
    cost = 500_000 * COSTS.gas_price
    plan = batch.plans[0]
    little = cost * plan.gross_profit // plan.gross_profit_wei // 2
    batch = replace(batch, plans=(replace(plan, sure_profit=little),))

    ((reason, net),) = verdict(batch, 500_000, 0)

    assert (reason, net > 0) == (SkipReason.BELOW_MIN_PROFIT, True)


@pytest.mark.slow
@given(tolerance=st.integers(0, 10_000), minimum=st.integers(0, 10**16))
def test_the_minimum_protects_the_simulated_profit_but_for_the_tolerance(tolerance, minimum):
    """Whoever moves the pool before us takes at most the tolerance, or the step is undone."""
    batch = a_batch(1)
    policy = replace(POLICY, tolerance_bps=tolerance)
    expected = batch.plans[0].gross_profit

    (plan,) = settled(batch, as_planned(batch, 500_000), {MARKET: minimum}, policy)

    protected = min(expected * (10_000 - tolerance) // 10_000, plan.sure_profit)
    assert protected <= plan.min_profit <= expected


@pytest.mark.slow
@given(bid=st.integers(0, 10_000), minimum=st.integers(0, 10**17))
def test_a_bid_is_in_the_numbers_and_leaves_the_minimum(bid, minimum):
    """What is predicted is what is left after the bid; the enforced minimum pays for it too.

    It would do so with a tenth more gas than simulated.
    """
    batch = a_batch(1)
    policy = replace(POLICY, profit_bid_bps=bid, tolerance_bps=10_000)

    (plain,) = settled(batch, as_planned(batch, 500_000), {MARKET: minimum}, POLICY)
    (plan,) = settled(batch, as_planned(batch, 500_000), {MARKET: minimum}, policy)

    cost = plan.gas * plan.gas_price
    affordable = (plain.gross_profit_wei - minimum) * 10_000 // 11_000 - cost
    offered = max(0, min(plain.net_profit * bid // 10_000, affordable))
    assert plan.net_profit == plain.net_profit - plan.bid
    assert plan.bid == offered // plan.gas * plan.gas
    if plan.bid:
        assert enforced(plan) >= (cost + plan.bid) * 11_000 // 10_000 + minimum - 1
    elif plain.net_profit >= minimum:
        assert enforced(plan) >= cost + minimum - 1


@given(
    bid=st.integers(0, 10_000),
    minimum=st.integers(0, 10**16),
    shares=st.lists(st.integers(1, 1_000), min_size=2, max_size=4),
)
def test_each_plan_of_a_transaction_pays_the_tip_alone(bid, minimum, shares):
    """
    Where the plan that earns most fails, the others' own minimum pays the tip on their gas.

    And on twice the gas: the slots that a failed step would have warmed are cold. Before, each
    one's minimum had its own share of the bid only, while a tip is paid by gas: a small plan
    beside a large one that was lost landed at a loss.
    """
    batch = a_batch(len(shares))
    policy = replace(POLICY, profit_bid_bps=bid)
    answer = SimulatedBatch(
        plans=tuple(
            SimulatedPlan(profit=plan.gross_profit * share // 1_000, gas_used=300_000)
            for plan, share in zip(batch.plans, shares, strict=True)
        ),
        gas_used=340_000 * len(shares),
    )

    after = settled(batch, answer, {MARKET: minimum}, policy)

    tip = sum(plan.bid for plan in after) // sum(plan.gas for plan in after)
    assert {plan.bid for plan in after} == {plan.gas * tip for plan in after}
    for place, plan in enumerate(after):
        if tip:
            margin = 20_000 if place else 11_000
            paid = plan.gas * (plan.gas_price + tip) * margin // 10_000
            assert enforced(plan) >= paid + minimum - plan.gross_profit_wei // plan.gross_profit - 1


def test_a_bid_leaves_what_interest_takes_until_the_deadline():
    """The poorest plan of a transaction is no exception.

    It decided the tip, and its minimum was its whole simulated profit: a block more of interest,
    seven units in a hundred million, and it reverted.
    """
    batch = a_batch()
    thin = [
        replace(one, sure_profit=one.gross_profit * 9_990 // 10_000, bid=0) for one in batch.plans
    ]
    gas = max(1, sum(one.gross_profit_wei for one in thin) // COSTS.gas_price // 3)
    batch = replace(batch, plans=tuple(thin))

    after = settled(
        batch, as_planned(batch, gas), NO_MINIMUM, replace(POLICY, profit_bid_bps=10_000)
    )

    assert any(plan.bid for plan in after)
    assert all(plan.min_profit <= plan.gross_profit * 9_991 // 10_000 for plan in after)


@given(bid=st.integers(1, 10_000), ratio=st.integers(1, 1_000))
def test_plans_that_earn_too_differently_do_not_share_a_bid(bid, ratio):
    """The small one does not hold back the large one's bid, nor pays it: it goes apart."""
    rich = scripted(0, gas=300_000, min_profit=10**15, net_profit=10**18)
    poor = replace(rich, account=account(1), net_profit=rich.net_profit // ratio)
    policy = replace(POLICY, profit_bid_bps=bid)

    groups = packed([rich, poor], policy, COSTS, GAS)

    tip = (rich.net_profit + poor.net_profit) * bid // 10_000 // 600_000
    cost = poor.gas * poor.gas_price
    pays = poor.net_profit + cost >= 2 * poor.gas * (poor.gas_price + tip)
    assert groups == ([(rich, poor)] if pays or not tip else [(rich,), (poor,)])


def test_gas_is_shared_by_what_each_step_took():
    """A cheap step that joins a dear one is charged its own gas, not a share of the estimate."""
    batch = a_batch(2)
    steps = (300_000, 100_000)
    answer = SimulatedBatch(
        plans=tuple(
            SimulatedPlan(profit=plan.gross_profit, gas_used=gas)
            for plan, gas in zip(batch.plans, steps, strict=True)
        ),
        gas_used=440_000,
    )

    after = settled(batch, answer, NO_MINIMUM, POLICY)

    assert [plan.gas for plan in after] == [330_000, 110_000]


def test_a_part_of_a_transaction_pays_for_what_all_of_them_shared():
    """The intrinsic gas is one part's alone now; who does not pay its share of it is left out."""
    rich = scripted(0, gas=300_000, min_profit=10**15, net_profit=10**17 - 300_000 * 12 * GWEI)
    costs = 300_000 * 12 * GWEI
    poor = replace(rich, account=account(1), net_profit=rich.least_net + 1, gross_profit=costs)

    whole = sharing_less([rich, poor], 2, 40_000)
    alone = sharing_less([rich], 4, 40_000)
    both = sharing_less([rich, poor], 4, 40_000)

    assert [plan.gas for plan in whole] == [300_000, 300_000]
    assert [plan.gas for plan in alone] == [300_000 + 30_000]
    assert both == alone
    (part,) = alone
    assert part.net_profit == rich.net_profit - 30_000 * 12 * GWEI
    assert part.min_profit == 330_000 * 12 * GWEI + rich.least_net
