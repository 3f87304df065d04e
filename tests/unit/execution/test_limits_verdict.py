"""The rule that says whether a transaction may be sent, over histories of every kind."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.breaker import Breaker, Spent
from keeper.domain.submission import AttemptKind, AttemptState, Fees
from keeper.domain.units import WAD
from keeper.execution.limits import (
    Allowed,
    History,
    Limit,
    Limits,
    Tripped,
    consecutive_reverts,
    ether,
    has_passed,
    spent_within,
    verdict,
)
from keeper.execution.reserving import in_flight_cost
from tests.support.scripted_submission import batch, plan
from tests.unit.storage.test_journal import attempt, submission

NOW = 1_000_000
LIMITS = Limits(
    max_gas_per_transaction=100,
    max_gas_per_hour=300,
    max_gas_per_day=1_000,
    max_races_per_hour=40,
    max_consecutive_reverts=3,
    min_balance=50,
    max_balance=10_000,
)


def spent(nonce, *, cost=10, ago=60, reverted=False):
    return Spent(nonce=nonce, block_number=nonce, timestamp=NOW - ago, cost=cost, reverted=reverted)


def lost(nonce, **changes):
    return replace(spent(nonce, **changes), reverted=None, lost_race=True)


def history(*mined, **changes):
    return replace(History(now=NOW, spent=mined, balance=1_000), **changes)


@pytest.mark.parametrize(
    ("past", "in_flight", "wanted", "trips"),
    [
        (history(), 0, 100, None),
        (history(), 0, 101, Limit.GAS_PER_TRANSACTION),
        (history(spent(1, cost=150), spent(2, cost=50)), 0, 100, None),
        (history(spent(1, cost=150), spent(2, cost=51)), 0, 100, Breaker.GAS_PER_HOUR),
        (history(), 250, 51, Breaker.GAS_PER_HOUR),
        (history(spent(1, cost=300, ago=3_600)), 0, 100, None),
        (history(spent(1, cost=300, ago=3_599)), 0, 1, Breaker.GAS_PER_HOUR),
        (history(spent(1, cost=950, ago=7_200)), 0, 51, Breaker.GAS_PER_DAY),
        (history(spent(1, cost=950, ago=86_400)), 0, 51, None),
        (history(balance=50), 0, 1, None),
        (history(balance=49), 0, 1, Limit.MIN_BALANCE),
        (history(balance=None), 0, 1, None),
        (history(*(spent(n, reverted=True) for n in range(2))), 0, 1, None),
        (history(*(spent(n, reverted=True) for n in range(3))), 0, 1, Breaker.REVERTS),
        (history(*(lost(n, cost=1) for n in range(39))), 0, 1, None),
        (history(*(lost(n, cost=1) for n in range(40))), 0, 1, Breaker.RACES_PER_HOUR),
        (history(lost(0, cost=100, ago=3_600)), 0, 1, None),
        (history(spent(0), probes=1, forgiven={Breaker.REVERTS: 0}), 0, 1, None),
        (history(spent(1, reverted=True), probes=1), 0, 1, Breaker.REVERTS),
        (history(spent(1), spent(2, reverted=True), probes=1), 0, 1, None),
        (history(lost(1), probes=1), 0, 1, None),
    ],
)
def test_each_limit_holds_exactly_past_its_number(past, in_flight, wanted, trips):
    """At the limit is within it; a window ends to the second, by the chain's clock."""
    found = verdict(past, in_flight, wanted, LIMITS)

    assert (None if isinstance(found, Allowed) else found.breaker) == trips


@pytest.mark.parametrize(
    ("outcomes", "count"),
    [
        ([True, True, False], 0),
        ([False, True, True], 2),
        ([True, None, True], 2),
        ([None, None], 0),
        ([True, False, True], 1),
    ],
)
def test_only_liquidations_count_and_only_unbroken(outcomes, count):
    """A cancelled transaction says nothing about the next liquidation."""
    mined = [spent(n, reverted=one) for n, one in enumerate(outcomes)]

    assert consecutive_reverts(history(*mined)) == count


def test_a_reset_forgives_what_was_mined_and_no_more():
    """The operator has looked at those; a new run of failures trips again."""
    mined = [spent(n, reverted=True) for n in range(5)]

    assert consecutive_reverts(history(*mined, forgiven={Breaker.REVERTS: 4})) == 0
    assert consecutive_reverts(history(*mined, forgiven={Breaker.REVERTS: 2})) == 2
    hour = history(*mined, forgiven={Breaker.GAS_PER_HOUR: 3})
    assert spent_within(hour, Breaker.GAS_PER_HOUR, 3_600) == 10
    assert spent_within(hour, Breaker.GAS_PER_DAY, 86_400) == 50


def test_of_a_nonces_attempts_the_dearest_counts():
    """Only one of them is mined; nobody knows which."""
    dear = 2**300
    bumped = replace(submission(0), attempts=(attempt(0, fee=10), attempt(0, fee=99)))
    cheap = replace(attempt(1), fees=Fees(max_fee=7, priority_fee=1), gas_limit=3)

    assert in_flight_cost([replace(bumped, batch=None)], dear) == (2**200 + 99) * 1_000_000
    assert in_flight_cost([replace(submission(1), attempts=(cheap,))], dear) == 21


def test_what_waits_counts_with_its_simulated_gas_at_what_blocks_can_ask():
    """Neither the gas limit's room nor the ceiling above the base fee is ever paid."""
    one = batch(plan(0, gas=200_000), plan(1, gas=300_000, data_fee=5))
    sent = replace(attempt(0), fees=Fees(max_fee=22, priority_fee=2), gas_limit=1_000_000)
    ended = replace(sent, kind=AttemptKind.CANCEL, gas_limit=21_000)

    def cost(*attempts, base_fee=10, **changes):
        made = replace(submission(0), batch=one, attempts=attempts)
        return in_flight_cost([replace(made, **changes)], base_fee)

    assert cost(sent) == 550_000 * 12 + 5
    assert cost(sent, base_fee=100) == 550_000 * 22 + 5
    assert cost(replace(sent, gas_limit=400_000)) == 400_000 * 12 + 5
    assert cost(ended) == 21_000 * 12
    assert cost(sent, ended) == 550_000 * 12 + 5
    assert cost(replace(sent, state=AttemptState.RELEASED), ended) == 21_000 * 12
    assert cost(sent, batch=None) == 1_000_000 * 12


@pytest.mark.parametrize(
    ("wei", "text"), [(0, "0"), (WAD, "1"), (-1, "-0.000000000000000001"), (15 * WAD // 10, "1.5")]
)
def test_numbers_are_told_exactly(wei, text):
    """An operator compares them with the settings."""
    assert ether(wei) == text


mined = st.builds(
    spent,
    st.integers(0, 40),
    cost=st.integers(0, 200),
    ago=st.integers(0, 100_000),
    reverted=st.sampled_from([True, False, None]),
)
histories = st.lists(mined, max_size=12, unique_by=lambda one: one.nonce).map(
    lambda found: history(*found)
)
amounts = st.integers(0, 400)


@pytest.mark.slow
@given(past=histories, in_flight=amounts, wanted=amounts)
def test_what_is_allowed_keeps_every_window_within_its_limit(past, in_flight, wanted):
    """Even if all that is in flight costs the most that it can."""
    if isinstance(verdict(past, in_flight, wanted, LIMITS), Allowed):
        within = [one for one in past.spent if one.timestamp > NOW - 3_600]
        assert sum(one.cost for one in within) + in_flight + wanted <= 300
        within = [one for one in past.spent if one.timestamp > NOW - 86_400]
        assert sum(one.cost for one in within) + in_flight + wanted <= 1_000
        assert wanted <= 100


@pytest.mark.slow
@given(past=histories, in_flight=amounts, wanted=amounts, more=amounts)
def test_asking_for_less_is_never_worse(past, in_flight, wanted, more):
    """What a dearer transaction may do, a cheaper one may."""
    if isinstance(verdict(past, in_flight + more, wanted + more, LIMITS), Allowed):
        assert isinstance(verdict(past, in_flight, wanted, LIMITS), Allowed)


@pytest.mark.slow
@given(past=histories, in_flight=amounts, wanted=amounts)
def test_a_window_that_has_passed_lets_through_what_tripped_it(past, in_flight, wanted):
    """It closes by itself when, and only when, the same transaction would not trip it again."""
    found = verdict(past, in_flight, wanted, LIMITS)
    if isinstance(found, Tripped) and found.breaker in {Breaker.GAS_PER_HOUR, Breaker.GAS_PER_DAY}:
        assert not has_passed(found.breaker, past, in_flight, wanted, LIMITS)
        later = replace(past, now=NOW + 86_401)
        assert has_passed(found.breaker, later, 0, wanted, LIMITS)


@pytest.mark.slow
@given(past=histories, wanted=amounts, days=st.integers(0, 10_000))
def test_failures_are_not_forgotten_with_time(past, wanted, days):
    """Only a person closes that one."""
    found = verdict(past, 0, wanted, LIMITS)
    if isinstance(found, Tripped) and found.breaker is Breaker.REVERTS:
        later = replace(past, now=NOW + days * 86_400)
        assert verdict(later, 0, wanted, LIMITS) == found
        assert not has_passed(Breaker.REVERTS, later, 0, wanted, LIMITS)
