"""What transactions earned and cost, plan by plan, and the sums of it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.audit.earnings import Deed, Group, Sums, deals_of, grouped, shared
from keeper.domain.plan import FundingKind
from keeper.domain.submission import (
    Attempt,
    AttemptKind,
    Fees,
    Inclusion,
    NonceState,
    PlanOutcome,
    Submission,
)
from tests.support.scripted_submission import EXECUTOR, TOKEN, account, batch, plan

ETHER = 10**18
NOON = 1_700_000_000
GAS = 1_000_000


def attempt(kind=AttemptKind.SEND, tried="0xaa"):
    return Attempt(
        nonce=0,
        kind=kind,
        hash=tried,
        raw=b"",
        fees=Fees(max_fee=1, priority_fee=1),
        gas_limit=1,
        to=EXECUTOR,
        calldata=b"",
        block_number=1,
    )


def outcome(of, profit=100, profit_wei=ETHER, failure=""):
    return PlanOutcome(
        market=of.market,
        account=of.account,
        token=TOKEN,
        profit=profit,
        profit_wei=profit_wei,
        failure=failure,
    )


def mined(
    *plans, outcomes=None, success=True, tried="0xaa", gas=GAS, kind=AttemptKind.SEND, price=10**9
):
    """A nonce that a block has, at a gas price of one gwei unless another is given."""
    whole = replace(batch(), plans=plans) if plans else None
    return Submission(
        nonce=0,
        batch=whole,
        attempts=(attempt(kind, tried),),
        state=NonceState.FINAL,
        inclusion=Inclusion(
            hash=tried,
            block_number=5,
            block_hash="0x5",
            success=success,
            gas_used=gas,
            effective_gas_price=price,
            plans=tuple(outcome(one) for one in plans) if outcomes is None else outcomes,
            timestamp=NOON,
        ),
    )


def deals(*submissions):
    return deals_of(submissions, lambda one: one.inclusion.timestamp)


def total(*submissions):
    return next(iter(grouped(deals(*submissions), None).values()))


@pytest.mark.slow
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=12), st.integers(0, 10**20))
def test_a_transactions_gas_is_shared_to_the_wei(weights, cost):
    """What rows leave out would be missing from the sum."""
    parts = shared(weights, cost)

    assert sum(parts) == cost
    assert len(parts) == len(weights)


def test_a_plan_that_failed_earned_nothing_and_keeps_its_share_of_the_gas():
    """That is what a lost race costs."""
    first, second = plan(0, gas=300_000), plan(1, gas=100_000)
    done = mined(first, second, outcomes=(outcome(first), outcome(second, 0, 0, "NotLiquidatable")))

    found = total(done)

    assert (found.done[Deed.LIQUIDATION], found.lost) == (1, 1)
    assert found.reasons == {"NotLiquidatable": 1}
    assert found.lost_gas_wei == GAS * 10**9 // 4
    assert found.gas_wei == GAS * 10**9
    assert found.received == {TOKEN: 100}
    assert found.realised_wei == ETHER - GAS * 10**9 * 3 // 4
    assert found.net_wei == ETHER - GAS * 10**9


def test_each_plan_pays_the_bid_that_was_made_for_it():
    """
    The tip is one price for the whole transaction, but each plan offered its own part of it.

    Shared by gas alone, a small profit beside a large one would pay for the large one's bid: what
    it netted would be far from what it was predicted to net.
    """
    price, tip = 10**9, 7 * 10**9  # the bids of both, per unit of gas that both use
    small, large = (
        plan(place, gas=200_000, gas_price=price, bid=bid, net_profit=ETHER - 200_000 * price - bid)
        for place, bid in enumerate((200_000 * 10**9, 200_000 * 13 * 10**9))
    )
    done = mined(small, large, gas=400_000, price=price + tip)

    first, second = deals(done)

    for deal, planned in ((first, small), (second, large)):
        assert deal.profit_wei - deal.gas_wei == planned.net_profit
    assert first.gas_wei + second.gas_wei == 400_000 * (price + tip)


def test_what_costs_more_than_planned_is_dearer_for_every_plan_alike():
    """The base fee rose while it waited: no plan pays another one's part."""
    small, large = plan(0, gas=100_000, gas_price=10**9), plan(1, gas=300_000, gas_price=10**9)

    first, second = deals(mined(small, large, gas=400_000, price=3 * 10**9))

    assert (first.gas_wei, second.gas_wei) == (300_000 * 10**9, 900_000 * 10**9)


def test_a_whole_transaction_that_reverted_cost_all_of_its_gas():
    """Its receipt has no log; its plans' outcomes say why."""
    one = plan(0)
    found = total(mined(one, outcomes=(outcome(one, 0, 0, "reverted"),), success=False))

    assert (found.lost, found.lost_gas_wei, found.gross_wei) == (1, GAS * 10**9, 0)
    assert found.net_wei == -GAS * 10**9


def test_a_cancelled_nonce_costs_gas_and_is_no_lost_race():
    """The operator took it back."""
    found = total(mined(plan(0), outcomes=(), kind=AttemptKind.CANCEL))

    assert (found.lost, found.done[Deed.OTHER], found.gas_wei) == (0, 1, GAS * 10**9)


def test_dollars_are_those_of_the_time_and_unknown_ones_are_not_made_up():
    """A sum without one of its parts would read as the whole."""
    priced = mined(plan(0, native_usd_e8=2_000 * 10**8), tried="0xaa")
    unpriced = mined(plan(1), tried="0xbb")

    assert total(priced).gross_usd_e8 == 2_000 * 10**8
    assert total(priced, unpriced).gross_usd_e8 == 4_000 * 10**8, "the last known price holds on"
    assert total(unpriced).gross_usd_e8 is None
    assert total(unpriced).net_usd_e8 is None


def test_bids_are_in_the_gross_and_out_of_the_net():
    """What the builder was paid came out of the sale before the receiver got the rest."""
    (deal,) = deals(mined(plan(0, native_usd_e8=10**8)))
    sums = Sums()
    sums.add(replace(deal, bid_wei=ETHER // 4, tip_wei=7))

    assert (sums.gross_wei, sums.bids_wei, sums.tips_wei) == (ETHER + ETHER // 4, ETHER // 4, 7)
    assert sums.net_wei == ETHER - GAS * 10**9
    assert sums.net_usd_e8 == sums.gross_usd_e8 - sums.bids_usd_e8 - sums.gas_usd_e8


def test_what_only_the_chain_knows_is_not_zero():
    """Bids of the journal alone are unknown; zero would be a claim."""
    assert total(mined(plan(0))).bids_wei is None


def test_cures_and_clearings_are_counted_apart():
    """They earn nothing: a cure spends the vault's money, a clearing loses some."""
    funding = plan(0).funding
    cure = plan(0, funding=replace(funding, kind=FundingKind.VAULT))
    clearing = plan(1, funding=replace(funding, kind=FundingKind.CLEARANCE))

    found = total(mined(cure), mined(clearing))

    assert (found.done[Deed.CURE], found.done[Deed.CLEARING]) == (1, 1)
    assert found.done[Deed.LIQUIDATION] == 0


def test_rows_are_by_day_token_or_market_and_add_up():
    """Each deal is in one row."""
    one, later = mined(plan(0)), mined(plan(1, market="m:2"), tried="0xbb")
    later = replace(later, inclusion=replace(later.inclusion, timestamp=NOON + 86_400))

    by_day = grouped(deals(one, later), Group.DAY)

    assert list(by_day) == ["2023-11-14", "2023-11-15"]
    assert set(grouped(deals(one, later), Group.MARKET)) == {plan(0).market, "m:2"}
    assert set(grouped(deals(one, later), Group.TOKEN)) == {TOKEN}
    assert sum(row.net_wei for row in by_day.values()) == total(one, later).net_wei
    assert account(0) != account(1)
