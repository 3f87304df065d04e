"""What a liquidation leaves of an account, in the same block, by the pool's rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.account import HEALTH_FACTOR_NO_DEBT
from keeper.domain.opportunity import Outcome
from keeper.domain.units import RAY
from keeper.protocols.aave_v3.afterwards import account_after
from keeper.protocols.aave_v3.model import Account, Holding
from keeper.protocols.aave_v3.position import Clock
from keeper.protocols.aave_v3.rules import liquidation
from tests.unit.protocols.aave_builders import (
    BORROWER,
    EVERYTHING,
    NOW,
    USDC,
    WETH,
    WINDOW,
    account,
    pool,
    snapshot,
)

DOLLAR = 10**6


def offer(revision=10, **changes):
    """The only pair of a borrower of USDC against 20,000 dollars of WETH."""
    whole = snapshot(pool(revision), **{BORROWER: account(**changes)})
    (found,), _ = whole.opportunities(BORROWER, WINDOW)
    return found


def test_half_of_a_debt_cures_most_accounts():
    """Nothing is left to do then, and nothing else is looked at."""
    after = offer(usdc=16_400 * DOLLAR).after(EVERYTHING)

    assert after.health_factor > 10**18
    assert after.opportunities == ()


@given(st.integers(min_value=10 * DOLLAR, max_value=17_000 * DOLLAR))
def test_a_part_of_an_account_under_its_bonus_leaves_it_worse(amount):
    """What is left can be taken again, and what both rounds take is no more than there is."""
    pair = offer(usdc=19_500 * DOLLAR)
    first, whole = pair.outcome(amount), pair.outcome(EVERYTHING)
    if not isinstance(first, Outcome):
        return
    after = pair.after(amount)

    (rest,) = after.opportunities
    assert after.health_factor < pair.first.data.health_factor
    assert rest.first.debt in range(
        pair.first.debt - first.spend, pair.first.debt - first.spend + 2
    )
    second = rest.outcome(EVERYTHING)
    assert isinstance(second, Outcome)
    assert abs(first.spend + second.spend - whole.spend) <= whole.spend // 10**6
    assert rest.payable == pair.payable - first.receive


@pytest.mark.parametrize("revision", [1, 7, 10])
def test_nothing_follows_when_all_collateral_is_gone(revision):
    """From 3.3 the debt is written off; before, it stays without anything that backs it."""
    after = offer(revision, usdc=30_000 * DOLLAR).after(EVERYTHING)

    assert after.opportunities == ()
    assert (after.health_factor == HEALTH_FACTOR_NO_DEBT) == (revision > 1)


def test_a_debt_at_a_fixed_rate_is_repaid_behind_the_variable_one():
    """Up to 3.2 an account may owe both; the rest of the fixed one starts its interest anew."""
    state = pool(1)
    clock = Clock(state, NOW)
    both = Account(
        0b10 | 0b01 << 2,
        0,
        {
            WETH: Holding(10 * 10**18, 0),
            USDC: Holding(0, 1_000 * DOLLAR, 18_000 * DOLLAR, RAY // 100, NOW - 1_000),
        },
    )
    position = clock.position(both)
    done = liquidation(
        clock.pair(both, position, USDC, WETH), 3_000 * DOLLAR, state.structure.rules
    )

    left = account_after(both, position, clock, (USDC, WETH), done).holdings[USDC]

    owed = position.legs[USDC].debt
    assert (left.scaled_debt, left.stable_since) == (0, NOW)
    assert left.stable_principal == owed - 3_000 * DOLLAR


def test_a_whole_debt_clears_its_flag_and_the_others_stay():
    """An account of two debts goes on with the other one."""
    state = pool()
    clock = Clock(state, NOW)
    two = Account(
        0b11 | 0b01 << 2, 0, {WETH: Holding(10 * 10**18, 10**18), USDC: Holding(0, 15_500 * DOLLAR)}
    )
    position = clock.position(two)
    done = liquidation(clock.pair(two, position, USDC, WETH), EVERYTHING, state.structure.rules)

    left = account_after(two, position, clock, (USDC, WETH), done)

    assert done.all_debt
    assert not left.is_borrowing(USDC)
    assert left.is_borrowing(WETH)
    assert left.is_collateral(WETH)
    assert left.holdings[WETH].scaled_debt == 10**18
