"""Morpho Blue's rules: vectors, and what holds for any numbers."""

from decimal import Decimal, getcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.protocols.morpho_blue import irm, rules
from keeper.protocols.morpho_blue.model import Irm, Position
from tests.unit.protocols.morpho_builders import NOW, WAD, params, state

getcontext().prec = 60
YEAR = 365 * 24 * 3_600

assets = st.integers(min_value=0, max_value=2**110)
shares = st.integers(min_value=0, max_value=2**118)
states = st.builds(
    lambda lent, idle, per, fee, rate: state(
        supply_assets=lent + idle,
        supply_shares=(lent + idle) * per,
        borrow_assets=lent,
        borrow_shares=lent * per,
        fee=fee,
        rate_at_target=rate,
    ),
    st.integers(min_value=0, max_value=10**32),
    st.integers(min_value=0, max_value=10**32),
    st.integers(min_value=10**5, max_value=10**6),
    st.integers(min_value=0, max_value=WAD // 4),
    st.integers(min_value=irm.MIN_RATE_AT_TARGET, max_value=irm.MAX_RATE_AT_TARGET),
)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0, WAD),
        (irm.LN_2, 2 * WAD),
        (-irm.LN_2, WAD // 2),
        (10 * irm.LN_2, 1_024 * WAD),
        (irm.LN_WEI - 1, 0),
        (irm.WEXP_UPPER_BOUND, irm.WEXP_UPPER_VALUE),
        (WAD // 10, 1_105_000_000_000_000_000),
        (-WAD // 10, 905_000_000_000_000_000),
    ],
)
def test_exponential_of_known_points(x, expected):
    """Powers of two are exact, small numbers are 1 + x + x*x/2, the ends are cut."""
    assert irm.w_exp(x) == expected


@pytest.mark.slow
@given(st.integers(min_value=-40 * WAD, max_value=90 * WAD))
def test_exponential_is_within_a_hundredth_of_the_true_one(x):
    """A second-order polynomial over half of ln 2 is never further off than that."""
    true = (Decimal(x) / WAD).exp() * WAD
    assert abs(irm.w_exp(x) - true) <= true / 100 + 1


@pytest.mark.slow
@given(st.integers(min_value=-(10**30), max_value=10**30), st.integers(min_value=1, max_value=WAD))
def test_division_goes_toward_zero(x, y):
    """As the chain divides, and unlike Python's own."""
    assert irm.divided(x, y) == -irm.divided(-x, y)
    assert abs(irm.divided(x, y)) == abs(x) // y


@pytest.mark.parametrize(
    ("borrowed", "elapsed", "rate", "after"),
    [
        (90, YEAR, irm.INITIAL_RATE_AT_TARGET, irm.INITIAL_RATE_AT_TARGET),
        (100, 0, 4 * irm.INITIAL_RATE_AT_TARGET, irm.INITIAL_RATE_AT_TARGET),
        (0, 0, irm.INITIAL_RATE_AT_TARGET // 4, irm.INITIAL_RATE_AT_TARGET),
        (100, 10 * YEAR, 4 * irm.MAX_RATE_AT_TARGET, irm.MAX_RATE_AT_TARGET),
    ],
)
def test_rate_at_the_curves_corners(borrowed, elapsed, rate, after):
    """At target nothing moves; full is four times, idle a quarter of it; the cap holds."""
    average, end = irm.borrow_rate(100, borrowed, irm.INITIAL_RATE_AT_TARGET, elapsed)
    assert end == after
    assert average <= rate
    assert average >= rate * 3 // 4


def test_a_market_nobody_borrowed_from_starts_at_the_initial_rate():
    """Whatever time has passed."""
    assert irm.borrow_rate(0, 0, 0, YEAR)[1] == irm.INITIAL_RATE_AT_TARGET


@pytest.mark.slow
@given(states, st.integers(min_value=0, max_value=YEAR), st.integers(min_value=1, max_value=3_600))
def test_debt_and_supply_only_grow_with_time(one, first, more):
    """So that the ends of a window bound everything between them."""
    early = rules.accrued(one, Irm.ADAPTIVE_CURVE, NOW + first)
    late = rules.accrued(one, Irm.ADAPTIVE_CURVE, NOW + first + more)

    assert late.borrow_assets >= early.borrow_assets >= one.borrow_assets
    assert late.supply_assets - early.supply_assets == late.borrow_assets - early.borrow_assets
    assert late.borrow_shares == one.borrow_shares
    assert min(early.supply_shares, late.supply_shares) >= one.supply_shares


@pytest.mark.slow
@given(states)
def test_nothing_accrues_in_the_second_of_the_last_update(one):
    """Nor before it, nor without a rate model."""
    assert rules.accrued(one, Irm.ADAPTIVE_CURVE, one.last_update) == one
    later = rules.accrued(one, Irm.NONE, NOW + YEAR)
    assert (later.borrow_assets, later.supply_shares) == (one.borrow_assets, one.supply_shares)


@pytest.mark.parametrize(
    ("per_mille", "expected"),
    [
        (625, 1_126_760_563_380_281_690),
        (770, 1_074_113_856_068_743_286),
        (860, 1_043_841_336_116_910_229),
        (915, 1_026_167_265_264_238_070),
        (945, 1_016_776_817_488_561_260),
        (0, 1_150_000_000_000_000_000),
        (1_000, WAD),
    ],
)
def test_incentive_follows_from_the_lltv(per_mille, expected):
    """1 / (1 - 0.3 (1 - LLTV)), and no more than 15 percent."""
    assert rules.incentive(per_mille * WAD // 1_000) == expected


def test_equality_is_healthy():
    """The contract asks whether what may be owed is at least what is owed."""
    assert not rules.Health(borrowed=100, most=100).liquidatable
    assert rules.Health(borrowed=101, most=100).liquidatable


@pytest.mark.slow
@given(st.integers(min_value=1, max_value=2**128), st.integers(min_value=0, max_value=2**128))
def test_health_factor_says_what_the_verdict_says(borrowed, most):
    """Rounded down, it is below one exactly where the account can be liquidated."""
    health = rules.Health(borrowed=borrowed, most=most)
    assert health.liquidatable == (health.factor < WAD)


@pytest.mark.slow
@given(states, st.integers(min_value=1, max_value=10**30))
def test_shares_round_against_the_debtor(one, amount):
    """A debt turned into shares and back is never smaller, and at most a share more."""
    owed = rules.assets_up(rules.shares_up(amount, one), one)
    assert amount <= owed <= amount + rules.assets_up(1, one)


prices = st.integers(min_value=10**20, max_value=10**40)
lltvs = st.sampled_from([per_mille * WAD // 1_000 for per_mille in (625, 770, 860, 945)])


@pytest.mark.slow
@given(states, prices, lltvs, st.integers(min_value=1, max_value=10**24), shares)
def test_seizing_everything_writes_the_rest_off(one, price, lltv, collateral, owed):
    """Bad debt is what is left, no more than the market's; leaving a unit avoids it."""
    owed = min(owed, one.borrow_shares)
    position = Position(borrow_shares=owed, collateral=collateral)
    factor = rules.incentive(lltv)
    done = rules.by_collateral(collateral, position, one, price, factor)
    part = rules.by_collateral(collateral - 1, position, one, price, factor)

    if done is not None:
        assert done.repaid_shares + done.bad_debt_shares == owed
        assert done.bad_debt <= max(0, one.borrow_assets - done.repaid)
    if part is not None:
        assert part.bad_debt == part.bad_debt_shares == 0


@pytest.mark.slow
@given(states, prices, lltvs, st.integers(min_value=1, max_value=10**24), shares)
def test_all_shares_or_all_collateral_is_always_possible(one, price, lltv, collateral, owed):
    """At one timestamp: where the collateral lacks for the debt, the debt has room for it."""
    owed = min(owed, one.borrow_shares)
    position = Position(borrow_shares=owed, collateral=collateral)
    factor = rules.incentive(lltv)
    by_shares = rules.by_shares(owed, position, one, price, factor)
    slack = rules.seizure(rules.assets_up(1, one) + 2, price, factor) + 2
    by_part = rules.by_collateral(max(0, collateral - slack), position, one, price, factor)

    assert by_shares is not None or by_part is not None


def test_a_market_is_its_parameters():
    """Each one changes the id."""
    changed = [{"oracle": "0x" + "3" * 40}, {"lltv": WAD // 2}, {"irm": "0x" + "0" * 40}]
    assert len({params(**change).id for change in changed} | {params().id}) == 4
