"""The spike guard and the policies: what waits, for how long, and what nothing may delay."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.domain.units import WAD, Bps
from keeper.margin.prices import distance, health_at, median_quotes, volatility
from keeper.margin.settings import (
    Check,
    Confirms,
    Floor,
    Guard,
    Measure,
    Response,
    Span,
    Subsidy,
    Volatility,
)
from keeper.margin.state import Step
from keeper.risk.tiers import Tier
from tests.unit.margin.story import (
    COMPETITIVE_HERE,
    DOLLAR,
    ETHER,
    GUARDIAN_HERE,
    START,
    USD,
    Story,
    exposure_of,
    second,
    subject,
)

DEBT = 1_600
NO_GRACE = {}


def guarded(*confirm, every=False, **changes):
    """A guardian without grace, order and subsidy: the guard alone."""
    guard = Guard(confirm=confirm, every=every, tiers=True, acting=True, **changes)
    return replace(GUARDIAN_HERE, guard=guard, grace=NO_GRACE)


def a_story(wanted, **changes):
    return Story(**{"debts": {1: DEBT}, "settings": wanted, **changes})


def waiting(story, *prices):
    """For each block, why the account waits; empty where it is acted upon or healthy."""
    found = []
    for price in prices:
        story.block(price)
        found.append(str(story.waits[1].reason) if 1 in story.waits else "")
    return found


SPIKE = "spike_unconfirmed"


def test_two_blocks_are_a_spike_and_three_are_not():
    """The third block in a row confirms; one above the line begins anew."""
    story = a_story(guarded(Confirms.BLOCKS))

    found = waiting(story, 2_600, 1_990, 1_990, 2_600, 1_990, 1_990, 1_990, 1_990)

    assert found == ["", SPIKE, SPIKE, "", SPIKE, SPIKE, "", ""]


def test_a_spike_calls_nobody():
    """The tiers wait for the same proof; the raw health of the spike is on record, though."""
    story = a_story(guarded(Confirms.BLOCKS))

    assert story.play(2_600, 1_990, 1_990, 2_600, 2_600) == []


def test_a_wait_says_in_words_what_it_waits_for():
    """The holder of the account reads it: no seconds since 1970, no eighteen digits."""
    story = a_story(guarded(Confirms.BLOCKS, Confirms.WINDOW, every=True))
    story.play(2_600, 1_990)
    told = story.waits[1].detail

    assert told == (
        "seen in 1 block since block 2, to be confirmed by 3 blocks and the prices of 600 s;"
        " health 0.9950 at raw prices"
    )

    story = a_story(replace(GUARDIAN_HERE, guard=Guard()))
    story.play(2_600, 1_990)
    assert story.waits[1].detail == (
        "grace until block 27 and 2027-01-15 08:05:24 UTC by the chain's clock"
    )


def test_seconds_count_by_the_chain():
    """Thirty seconds are three blocks of twelve."""
    story = a_story(guarded(Confirms.SECONDS, seconds=30))

    assert waiting(story, 2_600, 1_990, 1_990, 1_990, 1_990) == ["", SPIKE, SPIKE, SPIKE, ""]


def test_a_slow_sinking_is_no_spike_to_the_window():
    """The price is near its median all the way down; a wick is not, and waits for the median."""
    slow = a_story(guarded(Confirms.WINDOW, window_seconds=240))
    prices = [2_060 - 2 * at for at in range(60)]
    assert set(waiting(slow, *prices)) == {""}

    wick = a_story(guarded(Confirms.WINDOW, window_seconds=240))
    found = waiting(wick, *[2_600] * 20, *[1_990] * 14)
    assert found == [""] * 20 + [SPIKE] * 10 + [""] * 4


def test_a_second_source_confirms_or_contradicts():
    """It sees the same fall, or it does not."""
    for other, expected in ((2_600, SPIKE), (1_985, "")):
        wanted = guarded(Confirms.SECOND_SOURCE)
        answers = {**wanted.oracle.responses, Check.DEVIATION: Response.EXECUTE}
        rules = replace(wanted.oracle, responses=answers)
        story = a_story(replace(wanted, oracle=rules))
        story.play(2_600)
        story.seconds = (second(other),)

        assert waiting(story, 1_990) == [expected]


def test_any_and_all():
    """Any: the first that confirms; all: the last."""
    both = (Confirms.BLOCKS, Confirms.SECONDS)
    fast = a_story(guarded(*both, blocks=2, seconds=48))
    slow = a_story(guarded(*both, every=True, blocks=2, seconds=48))
    prices = [2_600] + [1_990] * 6

    assert waiting(fast, *prices) == ["", SPIKE, "", "", "", "", ""]
    assert waiting(slow, *prices) == ["", SPIKE, SPIKE, SPIKE, SPIKE, "", ""]


def test_the_limit_scales_with_the_leverage():
    """The same small dip below the line: a spike to who is at 95 %, none to who is at 80 %."""
    wanted = guarded(Confirms.WINDOW, window_seconds=240, deviation_bps=Bps(2_000))
    story = a_story(replace(wanted, floor=Floor()), debts={1: 1_600, 2: 1_900}, weights={2: 95})
    story.play(*[2_030] * 25)

    story.block(1_990)

    assert story.facts(1_990).accounts[subject(1)].health_factor == 995 * WAD // 1_000
    assert story.facts(1_990).accounts[subject(2)].health_factor == 995 * WAD // 1_000
    assert {whose: str(one.reason) for whose, one in story.waits.items()} == {2: SPIKE}


def test_the_floor_overrides_guard_and_grace():
    """Below 0.95, or close to bad debt, nothing is waited for."""
    story = a_story(
        replace(GUARDIAN_HERE, grace={Tier.LIQUIDATABLE: Span(blocks=1_000, seconds=86_400)})
    )
    assert waiting(story, 2_600, 1_890) == ["", ""]

    near = replace(GUARDIAN_HERE, floor=Floor(health=0, bad_debt_bps=2_000))
    story = a_story(near)
    # At 1,990 the collateral less its bonus is 18.5 % more than the debt.
    assert waiting(story, 2_600, 1_990) == ["", ""]


def test_competitive_never_waits():
    """Raw prices, at once, by profit."""
    story = a_story(COMPETITIVE_HERE)

    assert waiting(story, 2_600, 1_990, 1_500) == ["", "", ""]
    assert story.restraint.ranks == {}
    assert story.restraint.subsidies == {}


def test_grace_of_an_earlier_tier_counts_from_that_tier():
    """An hour since the call, whatever happened in between."""
    wanted = replace(
        GUARDIAN_HERE,
        guard=replace(GUARDIAN_HERE.guard, confirm=()),
        grace={Tier.CALL: Span(blocks=4, seconds=0)},
    )
    story = a_story(wanted)

    assert waiting(story, 2_190, 2_190, 1_990, 1_990, 1_990) == [
        "", "", "policy_grace", "policy_grace", "",
    ]  # fmt: skip


def test_the_largest_risk_of_bad_debt_comes_first():
    """Ranked by what a further fall of a tenth would leave unpaid."""
    story = a_story(
        replace(GUARDIAN_HERE, floor=Floor(health=WAD, bad_debt_bps=0)),
        debts={1: 1_600, 2: 1_850, 3: 1_700},
    )
    story.play(2_600, 1_900)

    ranks = story.restraint.ranks
    assert min(ranks, key=ranks.get) == subject(2)
    assert ranks[subject(2)] < ranks[subject(3)] <= ranks[subject(1)]


def test_the_subsidy_goes_to_the_small_until_it_is_used_up():
    """Each gets its share, nobody more than is left of the day."""
    wanted = replace(
        GUARDIAN_HERE,
        floor=Floor(health=WAD, bad_debt_bps=0),
        subsidy=Subsidy(
            per_day_usd_e8=25 * USD, per_account_usd_e8=10 * USD, debt_at_most_usd_e8=2_000 * USD
        ),
    )
    story = a_story(wanted, debts=dict.fromkeys(range(1, 5), DEBT) | {9: 2_100})
    story.play(2_600, 1_900)

    assert sorted(story.restraint.subsidies.values()) == [5 * USD, 10 * USD, 10 * USD]
    assert subject(9) not in story.restraint.subsidies


def test_tiers_in_volatility():
    """Calm prices bring the lines nearer: the same health is a call in a storm and none in calm."""
    tiers = replace(
        COMPETITIVE_HERE.tiers,
        measure=Measure.VOLATILITY,
        bands=tuple(
            replace(band, enter=enter * WAD, leave=leave * WAD)
            for band, enter, leave in zip(
                COMPETITIVE_HERE.tiers.bands, (1, 1, 3, 6), (0, 2, 4, 7), strict=True
            )
        ),
        volatility=Volatility(window_seconds=3_600, horizon_seconds=3_600, samples=12),
    )
    calm = a_story(replace(COMPETITIVE_HERE, tiers=tiers))
    stormy = a_story(replace(COMPETITIVE_HERE, tiers=tiers))

    assert calm.play(*[2_400] * 40) == []
    told = stormy.play(*[2_400 + 120 * (-1) ** at for at in range(40)])
    assert {kind for _, kind, _, _ in told} == {"called"}


def test_a_jump_in_the_first_minutes_is_no_storm():
    """A minute's move taken for a day's would call accounts that are far from the line."""
    wanted = Volatility(window_seconds=86_400, samples=24, least_bps=100)
    exposure = exposure_of(2_600 * USD, DEBT)
    jump = (
        Step(number=1, timestamp=START, price=2_600 * USD),
        Step(number=2, timestamp=START + 12, price=2_500 * USD),
    )

    early = volatility(exposure, {ETHER: jump}, START + 3_599, wanted)
    later = volatility(exposure, {ETHER: jump}, START + 86_400, wanted)

    assert early == WAD // 100
    assert later > 3 * WAD // 100


STEPS = st.lists(st.tuples(st.integers(1, 500), st.integers(1, 10**12)), min_size=1, max_size=30)


def steps_of(pairs):
    moment, found = START, []
    for gap, price in pairs:
        moment += gap
        found.append(Step(number=moment, timestamp=moment, price=price))
    return tuple(found), moment


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(pairs=STEPS, seconds=st.integers(60, 5_000), after=st.integers(1, 5_000))
def test_the_median_is_a_price_that_was(pairs, seconds, after):
    """Half of the time was spent at or below it, and half at or above it."""
    steps, last = steps_of(pairs)
    now = last + after
    found = median_quotes({ETHER: steps}, now, seconds)
    if now - steps[0].timestamp < seconds // 2:
        assert found == {}
        return
    start, spent = now - seconds, []
    for at, one in enumerate(steps):
        end = steps[at + 1].timestamp if at + 1 < len(steps) else now
        spent.append((one.price, max(0, end - max(one.timestamp, start))))
    total = sum(weight for _, weight in spent)
    below = sum(weight for price, weight in spent if price <= found[ETHER])
    above = sum(weight for price, weight in spent if price >= found[ETHER])
    assert 2 * below >= total
    assert 2 * above >= total


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(pairs=STEPS, debt=st.integers(1, 10**3))
def test_what_moves_together_does_not_count_as_volatility(pairs, debt):
    """Collateral and debt in one token: its health does not move, whatever the price does."""
    steps, now = steps_of(pairs)
    exposure = exposure_of(10**24, debt * 10**10)
    same = replace(exposure, legs=tuple(replace(leg, token=ETHER) for leg in exposure.legs))
    wanted = Volatility(least_bps=100)

    found = volatility(same, {ETHER: steps}, now, wanted)

    assert found == WAD // 100


@pytest.mark.slow
@given(factor=st.integers(0, 10**20), deviation=st.integers(1, 10**18))
def test_the_distance_is_nothing_past_the_line(factor, deviation):
    """Standard deviations are counted down to zero, not below."""
    found = distance(factor, deviation)

    assert found >= 0
    assert (found == 0) or factor > WAD


@pytest.mark.parametrize("price", [1, 3, 2_600 * USD])
def test_the_health_at_the_same_prices_is_the_same(price):
    """A guard that changes nothing must not round anything away."""
    exposure = exposure_of(2_600 * USD, DEBT)
    raw = {ETHER: price, DOLLAR: USD}

    assert health_at(exposure, raw, raw) == 1_300 * WAD // 1_000
