"""What can be done with one account of a Morpho Blue market."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keeper.domain.decision import SkipReason
from keeper.domain.opportunity import Outcome, Refusal, Window
from keeper.domain.units import UINT256_MAX
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.model import Irm, Position
from tests.unit.protocols.morpho_builders import (
    MORPHO,
    NOW,
    USDC,
    WETH,
    WETH_IN_USDC,
    WINDOW,
    market,
    owing,
    replaced,
    snapshot,
    state,
)

ONE = f"0x{1:040x}"


def offer(position, **changes):
    (found,), _ = snapshot(position, **changes).opportunities(ONE, changes.get("window", WINDOW))
    return found


def words(step):
    """``seizedAssets`` and ``repaidShares`` of a step."""
    return int.from_bytes(step.data[224:256]), int.from_bytes(step.data[256:288])


def test_everything_is_taken_by_shares_above_water():
    """No debt is left, whatever interest comes until then."""
    position = owing(2_700)
    one = offer(position)
    done = one.outcome(UINT256_MAX)

    assert words(one.step(UINT256_MAX)) == (0, position.borrow_shares)
    assert done.bad_debt == 0
    assert done.spend_at_most >= done.spend >= 2_700 * 10**6
    assert done.receive < 10**18


def test_everything_is_taken_by_collateral_under_water():
    """All shares would seize more than there is, and revert."""
    one = offer(owing(3_500))
    done = one.outcome(UINT256_MAX)

    assert words(one.step(UINT256_MAX)) == (10**18, 0)
    assert done.receive == done.receive_at_least == 10**18
    assert 0 < done.bad_debt < 700 * 10**6


def test_a_part_is_taken_by_collateral_and_spends_no_more_than_asked():
    """What it brings is then the same at any timestamp."""
    one = offer(owing(2_700))
    done = one.outcome(1_000 * 10**6)
    seized, shares = words(one.step(1_000 * 10**6))

    assert shares == 0
    assert done.receive == done.receive_at_least == seized
    assert 999_999_990 < done.spend <= done.spend_at_most <= 1_000 * 10**6


@pytest.mark.slow
@given(
    st.integers(min_value=2_600, max_value=4_000),
    st.integers(min_value=0, max_value=10**6),
    st.integers(min_value=1, max_value=10**6),
    st.integers(min_value=0, max_value=10**6),
)
def test_bounds_hold_at_every_timestamp_of_the_window(usdc, share, seconds, place):
    """Any amount, any time: spent and received are within what was promised."""
    window = Window(earliest=NOW + 1, deadline=NOW + 1 + seconds)
    position = owing(usdc)
    found, _ = snapshot(position).opportunities(ONE, window)
    assume(found)
    low, high = found[0].partial
    amount = low + (high - low) * share // 10**6
    moment = window.earliest + seconds * place // 10**6
    at = rules.accrued(state(), Irm.ADAPTIVE_CURVE, moment)
    for asked in (amount, UINT256_MAX):
        outcome = found[0].outcome(asked)
        if isinstance(outcome, Refusal):
            assert outcome.reason is SkipReason.UNCERTAIN_THRESHOLD
            continue
        seized, shares = words(found[0].step(asked))
        factor = rules.incentive(market().params.lltv)
        done = (
            rules.by_shares(shares, position, at, WETH_IN_USDC, factor)
            if shares
            else rules.by_collateral(seized, position, at, WETH_IN_USDC, factor)
        )
        assert done is not None
        assert outcome.spend <= done.repaid + 1
        assert done.repaid <= outcome.spend_at_most
        assert done.seized >= outcome.receive_at_least


def test_the_incentive_bounds_the_bonus():
    """In dollars with eight decimals: 4.38 percent of 2,700 and a little for roundings."""
    one = offer(owing(2_700))
    done = one.outcome(UINT256_MAX)
    gain = done.receive * 3_000 * 10**8 // 10**18 - done.spend * 100

    assert gain <= one.bonus_at_most <= gain + 10**6


def test_the_protocol_pays_first():
    """Its callback is free of fees, needs no holder, and is this liquidation's own."""
    (own,) = offer(owing(2_700)).own_funding

    assert (own.fee(10**30), own.lender, own.token) == (0, MORPHO, USDC)
    assert own.available == UINT256_MAX
    assert own.liquidity.holder != MORPHO


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (snapshot(owing(2_000)), SkipReason.NO_LONGER_LIQUIDATABLE),
        (snapshot(owing(2_700), price=None), SkipReason.PRICE_UNAVAILABLE),
        (snapshot(owing(2_700), price=0), SkipReason.PRICE_UNAVAILABLE),
        (snapshot(owing(2_700), price=UINT256_MAX), SkipReason.PRICE_UNAVAILABLE),
        (snapshot(owing(2_700), read=market(Irm.UNKNOWN)), SkipReason.UNSUPPORTED_REVISION),
        (snapshot(owing(2_700, collateral=0)), SkipReason.NO_COLLATERAL),
        (snapshot(Position(borrow_shares=0, collateral=1)), SkipReason.NO_LONGER_LIQUIDATABLE),
        (snapshot(), SkipReason.NO_LONGER_LIQUIDATABLE),
    ],
    ids=("healthy", "silent", "zero", "overflow", "rate model", "empty", "no debt", "unknown"),
)
def test_every_refusal_has_its_reason(one, reason):
    """Nothing is offered, and it can be counted why."""
    found, (refusal,) = one.opportunities(ONE, WINDOW)

    assert not found
    assert refusal.reason is reason


@pytest.mark.parametrize("amount", [0, 1, 10**30])
def test_amounts_outside_of_the_part_are_refused(amount):
    """Nothing, a rounding, or more than there is."""
    assert isinstance(offer(owing(2_700)).outcome(amount), Refusal)


def test_without_a_dollar_price_nothing_can_be_weighed():
    """The market is watched, the account's verdict is exact, but there are no prices."""
    one = snapshot(owing(2_700), usd=0)
    (health,) = one.accounts()

    assert health.liquidatable
    assert not health.unpriced
    assert not one.prices
    assert "set usd_feeds" in one.warnings[0]


def test_collateral_is_priced_by_the_markets_own_oracle():
    """Loan units for collateral, times the loan token's dollars; a feed of its own wins."""
    one = snapshot(owing(2_700), usd=99_000_000)
    assert one.prices[WETH].price == 2_970 * 10**8
    fed = replaced(one, usd={USDC: 10**8, WETH: 3_001 * 10**8})
    assert fed.prices[WETH].price == 3_001 * 10**8


def test_values_round_against_the_debtor():
    """Collateral down, debt up, in dollars with eight decimals."""
    one = snapshot(Position(borrow_shares=owing(2_700).borrow_shares, collateral=10**18 - 1))
    (health,) = one.accounts()
    (collateral,), (debt,) = one.balances(ONE)

    assert health.collateral_base == collateral.value == 3_000 * 10**8 - 1
    assert health.debt_base == debt.value == debt.amount * 100
    assert (
        health.health_factor
        == rules.health(
            one.positions[ONE],
            rules.accrued(state(), Irm.ADAPTIVE_CURVE, NOW),
            WETH_IN_USDC,
            market().params.lltv,
        ).factor
    )


def test_a_market_tells_what_it_is():
    """For people; where its oracle fails, that is a concern."""
    (fact,) = snapshot(owing(2_000)).facts()
    (worse,) = snapshot(owing(2_000), price=None).facts()

    assert "LLTV 860 per mille" in fact.text
    assert (fact.concern, "fails" in worse.concern) == ("", True)


def test_worst_accounts_come_first():
    """Ties by address; those without debt are not listed."""
    one = snapshot(
        owing(2_000), owing(2_800), Position(borrow_shares=0, collateral=5), owing(2_800)
    )
    assert [int(each.account, 16) for each in one.accounts()] == [2, 4, 1]


def test_what_morpho_holds_can_be_borrowed_for_nothing():
    """And what it does not hold cannot."""
    (lender,), none = snapshot().flash_lenders(USDC)
    assert (lender.available, lender.fee(10**12), none) == (10**13, 0, ())
    _, (refusal,) = snapshot(held={USDC: 0}).flash_lenders(USDC)
    assert refusal.reason is SkipReason.NO_FUNDING


def test_outcomes_draw_on_what_morpho_holds():
    """So that a flash loan of the same token in the same transaction is counted in."""
    done = offer(owing(2_700)).outcome(UINT256_MAX)
    assert isinstance(done, Outcome)
    assert [(key.holder, key.token) for key, _ in done.drawn] == [(MORPHO, WETH)]
    assert [(key.holder, key.token) for key, _ in done.repaid] == [(MORPHO, USDC)]
