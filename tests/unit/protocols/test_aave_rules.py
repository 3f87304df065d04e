"""The pool's arithmetic, version by version."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.units import BPS, RAY, UINT256_MAX, WAD
from keeper.protocols.aave_v3 import interest, rules
from keeper.protocols.aave_v3.rulebook import RULEBOOK
from keeper.protocols.aave_v3.rules import AccountData, Close, Pair

V30, V33, V36, V37 = (RULEBOOK[revision] for revision in (1, 7, 10, 11))
REVISIONS = st.sampled_from(sorted(RULEBOOK))


def pair(*, health=97 * WAD // 100, debt=10_000 * 10**6, collateral=6 * 10**18, **changes):
    made = Pair(
        data=AccountData(collateral=12_000 * 10**8, debt=10_000 * 10**8, health_factor=health),
        debt=debt,
        debt_price=10**8,
        debt_unit=10**6,
        collateral=collateral,
        collateral_price=2_000 * 10**8,
        collateral_unit=10**18,
        bonus=10_500,
        protocol_fee=1_000,
    )
    return made._replace(**changes)


def test_old_health_factor_averages_the_threshold_first():
    """3.0 cuts the average threshold to whole bps, which 3.6 does not."""
    sums = rules.Sums(total=1_001, weighted=1_000 * 8_000 + 7_000, debt=900)

    assert sums.data(V30).health_factor == 890_000_000_000_000_000
    assert sums.data(V36).health_factor == 889_666_666_666_666_666


def test_old_compounding_differs_from_new():
    """A year at 10 %: three binomial terms per second against three of the exponential."""
    year, rate = 365 * 24 * 3600, RAY // 10

    old = interest.compounded_interest(rate, year, polynomial=False)
    new = interest.compounded_interest(rate, year, polynomial=True)

    assert old < new == 1_105_166_666_666_666_666_666_666_667


def test_close_factor_is_half_above_the_threshold_and_all_at_it():
    """0.95 itself already opens the whole debt."""
    above = pair(health=95 * WAD // 100 + 1)
    at = pair(health=95 * WAD // 100)

    assert rules.most_repayable(above, V36) == 5_000 * 10**6
    assert rules.most_repayable(at, V36) == 10_000 * 10**6


def test_small_values_open_the_whole_debt_from_3_3_on():
    """Below 2 000 units of base currency the close factor is 100 %; 3.0 knows no such rule."""
    small = pair(debt=1_999 * 10**6)

    assert rules.close_of(small, V33) is Close.ALL_SMALL
    assert rules.close_of(small, V30) is Close.HEALTHY_HALF


def test_half_of_the_whole_debt_may_be_all_of_a_pairs():
    """From 3.3 the close factor is of the account's total debt, not of the pair's."""
    part = pair(debt=4_000 * 10**6)

    assert rules.most_repayable(part, V36) == 4_000 * 10**6
    assert rules.most_repayable(part, V30) == 2_000 * 10**6


def test_leftovers_must_be_worth_half_the_threshold():
    """Repaying 9 100 of 10 000 would leave 900, so the pool refuses from 3.3 on."""
    done = rules.liquidation(pair(health=WAD // 2), 9_100 * 10**6, V36)

    assert rules.leaves_dust(done, V36)
    assert not rules.leaves_dust(done, V30)


def test_the_debt_needed_for_all_collateral_rounds_up_from_3_5():
    """One unit of rounding decides whether the payment is enough."""
    under = pair(health=WAD // 2, collateral=10**18 + 1)

    old, new = (rules.liquidation(under, UINT256_MAX, book) for book in (V33, V36))

    assert old.all_collateral
    assert (old.repaid, new.repaid) == (1_904_761_905, 1_904_761_905)
    assert (
        rules.liquidation(pair(health=WAD // 2, collateral=4 * 10**18), UINT256_MAX, V33).repaid
        == 7_619_047_619
    )
    assert (
        rules.liquidation(pair(health=WAD // 2, collateral=4 * 10**18), UINT256_MAX, V36).repaid
        == 7_619_047_620
    )


def test_the_fee_is_a_share_of_the_bonus_only():
    """5 % bonus, a tenth of it for the protocol: the liquidator keeps 4.5 %."""
    done = rules.liquidation(pair(), 2_000 * 10**6, V36)

    assert (done.seized, done.received) == (105 * 10**16, 1_045 * 10**15)


def test_flash_fees_round_to_nearest_then_up():
    """1 001 units at 5 bps are 0.5005: one unit in both; 999 are none in 3.0 and one in 3.6."""
    assert (rules.flash_fee(999, 5, V30), rules.flash_fee(999, 5, V36)) == (0, 1)
    assert (rules.flash_fee(1_001, 5, V30), rules.flash_fee(1_001, 5, V36)) == (1, 1)


@pytest.mark.slow
@given(
    revision=REVISIONS,
    amount=st.integers(1, 10**13),
    debt=st.integers(1, 10**13),
    collateral=st.integers(1, 10**22),
    health=st.integers(1, WAD - 1),
    bonus=st.integers(BPS, 12_000),
)
def test_never_more_than_there_is(*, revision, amount, debt, collateral, health, bonus):
    """Nothing repaid exceeds the debt, nothing seized the collateral, no fee the seizure."""
    given_pair = pair(health=health, debt=debt, collateral=collateral, bonus=bonus)

    done = rules.liquidation(given_pair, amount, RULEBOOK[revision])

    assert 0 <= done.repaid <= min(debt + 1, amount + 1)
    assert 0 <= done.received <= done.seized <= collateral


@pytest.mark.slow
@given(rate=st.integers(0, 2 * RAY), early=st.integers(0, 10**8), more=st.integers(0, 10**8))
def test_interest_only_grows(rate, early, more):
    """A later index is never smaller, in either way of compounding."""
    for polynomial in (False, True):
        first = interest.compounded_interest(rate, early, polynomial=polynomial)
        later = interest.compounded_interest(rate, early + more, polynomial=polynomial)
        assert RAY <= first <= later
    assert interest.linear_interest(rate, early) <= interest.linear_interest(rate, early + more)


@pytest.mark.parametrize("revision", sorted(RULEBOOK))
def test_no_debt_is_perfect_health(revision):
    """An account that owes nothing cannot be liquidated under any version."""
    data = rules.Sums(total=10, weighted=80_000, debt=0).data(RULEBOOK[revision])

    assert data.health_factor == UINT256_MAX
