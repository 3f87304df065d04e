"""What a snapshot offers, and why it offers nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.chain.abi import decoded
from keeper.domain.decision import SkipReason
from keeper.domain.opportunity import Outcome, Refusal
from keeper.domain.units import RAY, UINT256_MAX, WAD
from keeper.protocols.aave_v3 import rules
from keeper.protocols.aave_v3.position import Clock
from keeper.protocols.aave_v3.rulebook import RULEBOOK
from tests.unit.protocols import aave_builders as build


def reasons(state):
    found, refusals = build.snapshot(state).opportunities(build.BORROWER, build.WINDOW)
    assert not found
    return [refusal.reason for refusal in refusals]


def only(state=None, **accounts):
    found, _ = build.snapshot(state, **accounts).opportunities(build.BORROWER, build.WINDOW)
    return found[0]


def test_half_is_exact_now_and_bounded_later():
    """The receipt may be smaller and the payment larger at the deadline, never worse."""
    offer = only()

    outcome = offer.outcome(UINT256_MAX)

    assert isinstance(outcome, Outcome)
    assert 8_500 * 10**6 < outcome.spend < outcome.spend_at_most
    assert outcome.receive_at_least <= outcome.receive


def test_the_step_names_pool_borrower_and_amount():
    """The executor's module decodes exactly these three."""
    step = only().step(5)

    assert step.module == 1
    assert decoded(("address", "address", "uint256"), step.data) == (
        build.address(2),
        build.BORROWER,
        5,
    )


def test_partial_range_keeps_the_leftover():
    """The largest partial amount leaves more than the least that must be left."""
    owing = build.account(usdc=2_600 * 10**6, weth=150 * 10**16)
    offer = only(None, **{build.BORROWER: owing})

    low, high = offer.partial

    assert low < high < 1_600 * 10**6
    assert isinstance(offer.outcome(high), Outcome)
    assert offer.outcome(high + 10**6).reason is SkipReason.MUST_NOT_LEAVE_DUST


def test_a_close_factor_that_may_change_is_uncertain():
    """Health just above 0.95 now and below it at the deadline: half or all, nobody knows."""
    state, owing = build.pool(), build.account()
    first, last = (
        Clock(state, at).position(owing).data.health_factor
        for at in (build.WINDOW.earliest, build.WINDOW.deadline)
    )
    assert last < first
    target = 95 * WAD // 100
    debt = 17_000 * 10**6 * first // target
    offer = only(None, **{build.BORROWER: build.account(usdc=debt)})
    healths = offer.first.data.health_factor, offer.last.data.health_factor
    assert healths[1] <= target

    if healths[0] > target:
        assert offer.outcome(UINT256_MAX).reason is SkipReason.UNCERTAIN_THRESHOLD


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (build.pool(weth={"settings": {"paused": True}}), SkipReason.RESERVE_PAUSED),
        (build.pool(usdc={"settings": {"paused": True}}), SkipReason.RESERVE_PAUSED),
        (build.pool(weth={"settings": {"active": False}}), SkipReason.RESERVE_INACTIVE),
        (build.pool(usdc={"grace_until": build.NOW + 12}), SkipReason.GRACE_PERIOD),
        (build.pool(weth={"price": None}), SkipReason.PRICE_UNAVAILABLE),
        (build.pool(weth={"available": 0}), SkipReason.RESERVE_ILLIQUID),
        (build.pool(weth={"settings": {"bonus": 0}}), SkipReason.NOT_COLLATERAL),
        (build.pool(1, weth={"settings": {"threshold": 0}}), SkipReason.NO_COLLATERAL),
        (build.pool(12), SkipReason.UNSUPPORTED_REVISION),
        (build.pool(2), SkipReason.UNSUPPORTED_REVISION),
        (build.pool(weth={"price": 3_000 * 10**8}), SkipReason.NO_LONGER_LIQUIDATABLE),
        (build.pool(weth={"price": 2_100 * 10**8}, allowed=False), SkipReason.SENTINEL),
    ],
)
def test_every_refusal_has_its_reason(state, reason):
    """A borrower left alone can be counted by why."""
    assert reasons(state) == [reason]


def test_collateral_that_is_lent_out_says_what_is_missed():
    """An owner decides by the bonus whether aTokens would be worth his own money."""
    state = build.pool(weth={"available": 0})
    snapshot = build.snapshot(state, **{build.BORROWER: build.account()})

    _, (refusal,) = snapshot.opportunities(build.BORROWER, build.WINDOW)

    missed = only().bonus_at_most // 10**6
    assert missed > 0
    assert f"lent out: a bonus of {missed // 100}.{missed % 100:02} USD is missed" in refusal.detail


def test_the_sentinel_does_not_protect_the_deeply_unhealthy():
    """Below 0.95 the pool liquidates even while the sentinel says no."""
    state = build.pool(weth={"price": 1_900 * 10**8}, allowed=False)

    assert only(state)


def test_a_failing_price_hides_only_its_own_accounts():
    """The other borrowers are valued and liquidated as ever."""
    state = build.pool(weth={"price": None})
    other = build.Account(0b11 << 2, 0, {1: build.Holding(100, 90)})
    taken = build.snapshot(state, **{build.BORROWER: build.account(), build.address(7): other})

    assert taken.account(build.BORROWER).unpriced
    assert not taken.account(build.BORROWER).liquidatable
    assert taken.account(build.address(7)).unpriced == ""


def test_emode_bonus_and_threshold_apply_to_its_collateral():
    """The category's 95 % and 1 % replace the reserve's 80 % and 5 %."""
    state = build.pool(categories=[build.emode()])
    owing = build.account(category=1, usdc=19_500 * 10**6)
    offer = only(state, **{build.BORROWER: owing})

    assert offer.first.bonus == 10_100
    assert offer.first.data.health_factor == pytest.approx(20_000 * 95 * 10**16 // 19_500, rel=1e-6)


def test_an_old_emode_price_replaces_debt_price_too():
    """In 3.0 a category's own source prices collateral of the category and any debt."""
    category = build.emode(has_price=True, price=1_500 * 10**8)
    state = build.pool(1, weth={"settings": {"category": 1}}, categories=[category])
    owing = build.account(category=1, usdc=15_000 * 10**6)
    position = Clock(state, build.NOW).position(owing)
    made = Clock(state, build.NOW).pair(owing, position, build.USDC, build.WETH)

    assert made.collateral_price == made.debt_price == 1_500 * 10**8
    assert position.legs[build.USDC].price == 10**8


def test_a_flash_loan_is_refused_for_its_own_reason():
    """Disabled, paused and empty reserves are told apart."""
    for change, reason in (
        ({"settings": {"flash": False}}, SkipReason.FLASH_LOAN_DISABLED),
        ({"settings": {"paused": True}}, SkipReason.RESERVE_PAUSED),
        ({"available": 0}, SkipReason.RESERVE_ILLIQUID),
    ):
        taken = build.snapshot(build.pool(weth=change))
        lenders, refusals = taken.flash_lenders(build.address(100))
        assert not lenders
        assert [refusal.reason for refusal in refusals] == [reason]


@pytest.mark.slow
@settings(max_examples=150)
@given(
    revision=st.sampled_from(sorted(RULEBOOK)),
    price=st.integers(600 * 10**8, 2_120 * 10**8),
    weth=st.integers(10**15, 30 * 10**18),
    usdc=st.integers(10**6, 40_000 * 10**6),
    share=st.integers(0, 1_000),
    moment=st.integers(build.WINDOW.earliest, build.WINDOW.deadline),
)
def test_an_outcome_holds_at_every_moment(*, revision, price, weth, usdc, share, moment):
    """Whenever the call lands, it takes no more and gives no less than the outcome says."""
    state, owing = build.pool(revision, weth={"price": price}), build.account(weth=weth, usdc=usdc)
    taken = build.snapshot(state, **{build.BORROWER: owing})
    found, _ = taken.opportunities(build.BORROWER, build.WINDOW)
    for offer in found:
        amounts = [UINT256_MAX]
        if offer.partial is not None:
            low, high = offer.partial
            amounts.append(low + (high - low) * share // 1_000)
        for amount in amounts:
            outcome = offer.outcome(amount)
            if isinstance(outcome, Refusal):
                assert amount == UINT256_MAX
                continue
            clock = Clock(state, moment)
            at = clock.pair(owing, clock.position(owing), build.USDC, build.WETH)
            done = rules.liquidation(at, amount, RULEBOOK[revision])
            assert not rules.leaves_dust(done, RULEBOOK[revision])
            assert at.data.health_factor < WAD
            assert done.repaid <= outcome.spend_at_most
            assert done.received >= outcome.receive_at_least
            gain = at.collateral_value(done.received) - done.repaid * 10**8 // 10**6
            assert gain <= offer.bonus_at_most


@pytest.mark.slow
@settings(max_examples=150)
@given(
    revision=st.sampled_from(sorted(RULEBOOK)),
    price=st.integers(10**3, 2_120 * 10**8),
    weth=st.integers(1, 30 * 10**18),
    usdc=st.integers(1, 40_000 * 10**6),
    rate=st.integers(0, 20 * RAY),
    mode=st.booleans(),
)
def test_no_pair_earns_more_than_the_bound(*, revision, price, weth, usdc, rate, mode):
    """Who is left alone for it would have been left alone by every one of his pairs."""
    own = build.emode(collateral=0b1, bonus=11_700) if mode else build.emode(bonus=10_000)
    owed = {"variable_rate": rate}
    state = build.pool(revision, weth={"price": price}, usdc=owed, categories=[own])
    owing = build.account(weth=weth, usdc=usdc, category=int(mode))
    taken = build.snapshot(state, **{build.BORROWER: owing})
    found, _ = taken.opportunities(build.BORROWER, build.WINDOW)
    bound = taken.bonus_at_most(taken.account(build.BORROWER), build.WINDOW)

    assert (bound is None) == (RULEBOOK[revision].stable_debt or not taken.pool.structure.supported)
    for offer in found if bound is not None else ():
        assert offer.bonus_at_most <= bound[0]
        assert offer.gas >= bound[1]


def test_an_emode_with_a_price_of_its_own_has_no_bound():
    """A pair's debt may count more there than the account's does."""
    state = build.pool(categories=[build.emode(has_price=True, price=10**8)])
    taken = build.snapshot(state)

    assert taken.bonus_at_most(taken.account(build.BORROWER), build.WINDOW) is None
