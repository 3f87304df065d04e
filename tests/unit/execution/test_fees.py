from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.errors import NotBroadcast
from keeper.domain.submission import Fees
from keeper.domain.units import GWEI
from keeper.execution.affording import affordable
from keeper.execution.fees import (
    FeeMarket,
    FeeOracle,
    FeePolicy,
    bumped,
    fee_cap,
    next_base_fee,
    opening_fees,
)
from tests.support.scripted_submission import ScriptedChain, batch, head, plan

POLICY = FeePolicy()
FAR = 10**30


def test_a_replacement_rises_by_an_eighth_rounded_up():
    """9 wei + 12.5 % is 10.125; ten would be below the policy."""
    assert bumped(Fees(max_fee=9, priority_fee=1), FAR, POLICY) == Fees(max_fee=11, priority_fee=2)


def test_a_rise_that_the_cap_cuts_short_is_taken_while_nodes_accept_it():
    """Ten per cent rounded up is the least; below that the old bytes stay."""
    old = Fees(max_fee=1000, priority_fee=100)

    assert bumped(old, 1100, POLICY) == Fees(max_fee=1100, priority_fee=113)
    assert bumped(old, 1099, POLICY) is None


@pytest.mark.slow
@given(st.integers(1, 10**14), st.data())
def test_a_replacement_is_always_accepted_and_never_above_the_cap(max_fee, data):
    """Nodes want both fees 10 % higher; the tip never exceeds the ceiling."""
    old = Fees(max_fee=max_fee, priority_fee=data.draw(st.integers(1, max_fee)))
    near = st.integers(max_fee * 108 // 100, max_fee * 114 // 100 + 1)  # where it decides
    cap = data.draw(near | st.integers(0, 2 * max_fee))

    new = bumped(old, cap, POLICY)

    if new is not None:
        assert new.max_fee <= cap
        assert new.priority_fee <= new.max_fee
        assert 10 * new.max_fee >= 11 * old.max_fee
        assert 10 * new.priority_fee >= 11 * old.priority_fee


@pytest.mark.parametrize(
    ("base_fee", "gas_used", "expected"),
    [
        (10**9, 15_000_000, 10**9),
        (10**9, 30_000_000, 1_125_000_000),
        (10**9, 0, 875_000_000),
        (7, 15_000_001, 8),
        (7, 0, 7),
        (8, 0, 7),
        (0, 30_000_000, 1),
    ],
)
def test_the_next_base_fee_is_the_specifications(base_fee, gas_used, expected):
    """At the target it stays; a full block adds an eighth, at least one wei."""
    assert next_base_fee(base_fee=base_fee, gas_used=gas_used, gas_limit=30_000_000) == expected


def test_ten_full_blocks_raise_the_base_fee_three_times():
    """The fastest rise that a chain with these parameters can make: 1.125 to the tenth."""
    fee = 10**9
    for _ in range(10):
        fee = next_base_fee(base_fee=fee, gas_used=30_000_000, gas_limit=30_000_000)

    exact = 10**9 * 9**10 // 8**10
    assert exact - 10 * 4 <= fee <= exact


def test_the_first_bid_has_headroom_and_the_markets_tip():
    """Twice the next base fee keeps it in the pool for six full blocks."""
    fees = opening_fees(batch(), FeeMarket(base_fee=10 * GWEI, priority_fee=2 * GWEI), POLICY)

    assert fees == Fees(max_fee=22 * GWEI, priority_fee=2 * GWEI)


def test_a_share_of_the_profit_may_be_bid_as_the_tip():
    """Builders order by the tip; the bid comes on top of the market's, spread over the gas."""
    one = batch(plan(bid=5 * 10**15))

    fees = opening_fees(one, FeeMarket(base_fee=10 * GWEI, priority_fee=GWEI), POLICY)

    assert fees.priority_fee == GWEI + 5 * 10**15 // 500_000


PLANS = st.builds(
    lambda gross, least, gas, price: plan(
        gross_profit=gross,
        gross_profit_wei=gross,
        min_profit=min(least, gross),
        least_net=min(least, gross) // 3,
        gas=gas,
        gas_price=price,
    ),
    st.integers(0, 10**18),
    st.integers(0, 10**18),
    st.integers(50_000, 2_000_000),
    st.integers(1, 10**12),
)


@pytest.mark.slow
@given(
    plans=st.lists(PLANS, min_size=1, max_size=5),
    market=st.builds(
        FeeMarket, base_fee=st.integers(0, 10**12), priority_fee=st.integers(0, 10**12)
    ),
    bumps=st.integers(0, 40),
    bid=st.integers(0, 10**18),
)
def test_a_landing_never_nets_less_than_the_minimum(plans, market, bumps, bid):
    """
    Whatever it is bid up to: at the simulated gas the least that is enforced pays for it.

    With a tenth more gas the whole profit still does, beyond the price that it was found to pay.
    """
    plans = [replace(plans[0], bid=bid), *plans[1:]]
    one = batch(*plans)
    fees, newest = opening_fees(one, market, POLICY), None
    while fees is not None and bumps >= 0:
        newest, bumps = fees, bumps - 1
        fees = bumped(fees, fee_cap(one, POLICY), POLICY, market)

    if newest is not None:
        gas = sum(each.gas for each in plans)
        enforced = sum(each.min_profit - each.least_net for each in plans if each.gross_profit)
        assert newest.max_fee * gas <= max(0, enforced)
        profit = sum(each.gross_profit_wei for each in plans)
        paid = sum(each.gas * each.gas_price + each.bid for each in plans)
        assert newest.max_fee * gas * 11 <= profit * 10 or newest.max_fee * gas <= paid


def test_a_plan_that_no_longer_earns_pays_for_nothing():
    """Its step still costs gas, and the others' profit is all there is."""
    both = [plan(0), plan(1)]

    assert fee_cap(batch(*both), POLICY, both[:1]) < fee_cap(batch(*both), POLICY) // 2 + 1
    assert fee_cap(batch(*both), POLICY, []) == 0


def test_a_replacement_follows_the_market_where_it_ran_away():
    """An eighth every other block would take forty blocks to a tenfold base fee."""
    old = Fees(max_fee=22 * GWEI, priority_fee=2 * GWEI)
    market = FeeMarket(base_fee=100 * GWEI, priority_fee=5 * GWEI)

    assert bumped(old, FAR, POLICY, market) == Fees(max_fee=205 * GWEI, priority_fee=5 * GWEI)
    assert bumped(old, 90 * GWEI, POLICY, market).max_fee == 90 * GWEI


@pytest.mark.slow
@given(
    gross=st.integers(1, 10**18),
    least=st.integers(0, 10**18),
    base_fee=st.integers(0, 10**12),
    tip=st.integers(0, 10**12),
)
def test_no_bid_costs_more_than_the_profit_above_its_minimum(gross, least, base_fee, tip):
    """At the planned gas the ceiling leaves what the policy wants to keep."""
    one = plan(gross_profit=gross, gross_profit_wei=gross, min_profit=min(least, gross))
    keep = max(0, one.min_profit - one.gas * one.gas_price)

    fees = opening_fees(batch(one), FeeMarket(base_fee=base_fee, priority_fee=tip), POLICY)

    if fees is not None:
        assert fees.max_fee * one.gas <= gross - keep
        assert base_fee < fees.max_fee <= POLICY.max_fee
        assert fees.priority_fee <= fees.max_fee


def test_the_ceiling_of_the_settings_holds_for_any_profit():
    """A price error must not become a fee of a million gwei."""
    rich = plan(gross_profit=10**24, gross_profit_wei=10**24, min_profit=10**24)

    assert fee_cap(batch(rich), FeePolicy(max_fee=300 * GWEI)) == 300 * GWEI


async def test_the_fee_history_is_asked_once_per_block():
    """A second request in the same block would only cost time."""

    class Counting(ScriptedChain):
        asked = 0

        async def fee_history(self, blocks, percentile):
            self.asked += 1
            return [11 * GWEI, 12 * GWEI], [0, 3 * GWEI, 5 * GWEI]

    chain = Counting()
    oracle = FeeOracle(chain, 8453, POLICY)

    assert await oracle.gas_price(head(5)) == 17 * GWEI
    assert await oracle.market(head(5)) == FeeMarket(base_fee=12 * GWEI, priority_fee=5 * GWEI)
    assert chain.asked == 1
    await oracle.gas_price(head(6))
    assert chain.asked == 2


async def test_a_node_that_contradicts_the_formula_is_not_believed_and_reported(caplog):
    """The header says what the next block charges: a node's tenfold would leave all unsent."""

    class Odd(ScriptedChain):
        async def fee_history(self, blocks, percentile):
            return [10 * GWEI, 99 * GWEI], []

    market = await FeeOracle(Odd(), 1, POLICY).market(head(5))

    assert market == FeeMarket(base_fee=10 * GWEI, priority_fee=1)
    assert "base_fee_differs block=5" in caplog.text


@pytest.mark.parametrize(
    ("chain_id", "claim", "used"),
    [(8453, 99, 20), (8453, 12, 12), (8453, 1, 5), (31337, 99, 99), (31337, 999, 160), (1, 1, 10)],
)
async def test_a_claimed_base_fee_is_bounded_where_the_formula_is_not_known(chain_id, claim, used):
    """Other chains have parameters of their own; none doubles its base fee in a block."""

    class Claiming(ScriptedChain):
        async def fee_history(self, blocks, percentile):
            return [10 * GWEI, claim * GWEI], []

    market = await FeeOracle(Claiming(), chain_id, POLICY).market(head(5))

    assert market.base_fee == used * GWEI


def test_the_floor_needs_no_request_and_is_never_above_the_price():
    """Dust is told apart without asking anything."""
    full = head(5, gas_used=0)

    assert FeeOracle(None, 1, POLICY).floor(full) == 10 * GWEI * 7 // 8 + 1
    assert FeeOracle(None, 42161, POLICY).floor(head(5, gas_used=30_000_000)) < 10 * GWEI


def test_a_plan_that_cannot_pay_does_not_take_the_others_with_it():
    """Two weak plans pull a transaction below the next block's base fee; the strong one goes."""
    weak = {"gross_profit": 10**15, "gross_profit_wei": 10**15, "min_profit": 10**15}
    plans = [plan(0, **weak), plan(1, gross_profit=10**16, gross_profit_wei=10**16,
                                   min_profit=95 * 10**14), plan(2, **weak)]  # fmt: skip
    market = FeeMarket(base_fee=12 * GWEI, priority_fee=1)

    def some_of(whole, kept):
        return replace(whole, plans=tuple(kept))

    (able,) = affordable([batch(*plans)], market, POLICY, [], head=head(1), most=16, subset=some_of)

    assert [one.account for one in able[0].plans] == [plan(1).account]
    assert able[1].max_fee > market.base_fee
    with pytest.raises(NotBroadcast, match="too expensive"):
        affordable([batch(plan(0, **weak))], market, POLICY, [], head=head(1), most=16)
