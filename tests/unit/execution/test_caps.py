"""What a nonce may cost with the profit queued behind it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.submission import Attempt, AttemptKind, Fees, Submission
from keeper.domain.units import GWEI
from keeper.execution.caps import (
    CANCEL_GAS,
    Stake,
    cancellation_cap,
    ceiling,
    has_waiting,
    shared_cap,
    stake,
)
from keeper.execution.fees import FeePolicy, fee_cap
from tests.support.scripted_submission import batch

SMALL = Stake(gas=500_000, gas_limit=1_000_000, surplus=10**15, profit=10**15 * 2, max_fee=1 * GWEI)
LARGE = replace(SMALL, surplus=10**18, profit=10**18 * 2)
DEAD = replace(SMALL, surplus=0, profit=0)


def an_attempt(kind=AttemptKind.SEND, max_fee=20 * GWEI):
    return Attempt(
        nonce=0,
        kind=kind,
        hash="0x",
        raw=b"",
        fees=Fees(max_fee=max_fee, priority_fee=1),
        gas_limit=CANCEL_GAS if kind is AttemptKind.CANCEL else 1_000_000,
        to=None,
        calldata=b"",
        block_number=1,
    )


def test_g8_alone_the_cap_is_its_own_profits():
    """Nobody waits: exactly what the batch by itself may bid."""
    one = batch()
    alone = Submission(nonce=0, batch=one, attempts=(an_attempt(),))

    found = shared_cap([stake(alone, one.plans)], 0)

    assert found == fee_cap(one, FeePolicy(max_fee=10**30))


def test_g8_a_small_plan_never_blocks_a_large_one():
    """What the large one has left after its own bid pays for the small one in front of it."""
    assert shared_cap([SMALL], 0) == 2 * GWEI
    assert shared_cap([SMALL, LARGE], 0) > 1_000 * GWEI
    assert shared_cap([LARGE, SMALL], 1) == 2 * GWEI


def test_g8_a_cancellation_is_paid_from_the_queue():
    """Its own plan earns nothing: those behind it pay, and without them it is not worth more
    than the reverted transaction."""
    alone = Submission(nonce=0, batch=batch(), attempts=(an_attempt(max_fee=21 * GWEI),))

    assert cancellation_cap([DEAD], 0, alone) == 60 * GWEI
    assert cancellation_cap([DEAD, LARGE], 0, alone) > 10_000 * GWEI
    assert has_waiting([DEAD, LARGE], 0)
    assert not has_waiting([LARGE, DEAD], 0)


def test_what_a_lower_nonce_overdrew_is_not_spent_again():
    """Both small ones stand in front of the same large one: its profit is there once."""
    all_of_it = shared_cap([DEAD, DEAD, LARGE], 0)
    drawn = replace(DEAD, max_fee=all_of_it)

    assert shared_cap([drawn, DEAD, LARGE], 1) == DEAD.max_fee  # what it has bid already


STAKES = st.builds(
    lambda gas, more, profit, kept, bid: Stake(
        gas=gas,
        gas_limit=gas + more,
        surplus=profit - min(kept, profit),
        profit=profit,
        max_fee=bid * min((profit - min(kept, profit)) // gas, profit // (gas + more)) // 100,
    ),
    gas=st.integers(21_000, 2_000_000),
    more=st.integers(0, 2_000_000),
    profit=st.integers(0, 10**18),
    kept=st.integers(0, 10**18),
    bid=st.integers(0, 100),
)


@pytest.mark.slow
@given(queue=st.lists(STAKES, min_size=1, max_size=6), data=st.data())
def test_g8_all_bids_together_never_cost_more_than_all_profits(queue, data):
    """Whoever bids up to its cap, in whatever order, as often as it likes."""
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(queue) - 1))
        cap = shared_cap(queue, at)
        bid = max(queue[at].max_fee, data.draw(st.integers(0, cap)))
        queue[at] = replace(queue[at], max_fee=bid)

    assert sum(one.gas_limit * one.max_fee for one in queue) <= sum(one.profit for one in queue)
    assert sum(one.gas * one.max_fee for one in queue) <= sum(one.surplus for one in queue)


@pytest.mark.slow
@given(queue=st.lists(STAKES, min_size=1, max_size=6), data=st.data())
def test_the_cap_is_never_below_what_the_nonce_pays_by_itself(queue, data):
    """Where nobody overdrew, the queue only adds."""
    at = data.draw(st.integers(0, len(queue) - 1))

    assert shared_cap(queue, at) >= shared_cap([queue[at]], 0)


def test_replacements_rise_to_a_multiple_of_the_market_and_never_above_the_setting():
    """Bidding for ever against a pool that has the bytes and is in no hurry."""
    policy = FeePolicy(max_fee=100 * GWEI, max_multiple=5)

    assert ceiling(policy, 3 * GWEI) == 15 * GWEI
    assert ceiling(policy, 30 * GWEI) == 100 * GWEI
    assert ceiling(policy, None) == 100 * GWEI


def test_what_a_person_ordered_neither_gives_nor_takes():
    """It is paid by the person, not by the profits around it."""
    order = Submission(nonce=0, batch=None, attempts=(an_attempt(max_fee=10**12),))

    queue = [stake(order, ()), SMALL]

    assert shared_cap(queue, 1) == shared_cap([SMALL], 0)
