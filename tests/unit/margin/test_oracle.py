"""Prices that must not be trusted: what each check finds, and what follows from the policy."""

from dataclasses import replace

import pytest

from keeper.margin.facts import MarketFacts
from keeper.margin.oracle import deviant, suspicions
from keeper.margin.settings import COMPETITIVE, Check, OracleRules, Response
from tests.unit.margin.story import (
    COMPETITIVE_HERE,
    ETHER,
    FEED,
    START,
    USD,
    Story,
    a_round,
    exposure_of,
    reading,
    second,
)

PRICE = 2_600 * USD
RULES = OracleRules()
FRESH = START - 60


def checks(one, *, seconds=(), medians=None, rules=RULES):
    """What is found about one reading at ``START``."""
    stated = MarketFacts(readings=(one,), seconds={ETHER: tuple(seconds)} if seconds else {})
    return [str(found.check) for found in suspicions(rules, stated, medians or {}, START)]


def at_round(**changes):
    return reading(PRICE, round=a_round(PRICE, FRESH, **changes))


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (at_round(), []),
        (reading(None), ["failing"]),
        (reading(0), ["not_positive"]),
        (reading(None, round=a_round(0, FRESH)), ["not_positive"]),
        (reading(PRICE, round=a_round(-1, FRESH)), ["not_positive"]),
        (reading(PRICE), ["age_unknown"]),
        (at_round(answered_in=4), ["incomplete"]),
        (at_round(updated_at=0), ["incomplete"]),
        (at_round(updated_at=START - 90_000), []),
        (at_round(updated_at=START - 90_001), ["stale"]),
        (at_round(updated_at=START + 500), []),
        (replace(at_round(), minimum=PRICE), ["at_bound"]),
        (replace(at_round(), minimum=PRICE - 1, maximum=PRICE + 1), []),
        (replace(at_round(), maximum=PRICE), ["at_bound"]),
        (replace(at_round(), maximum=PRICE - 1), ["at_bound"]),
        (replace(at_round(), decimals=18, expected_decimals=8), ["decimals"]),
        (replace(at_round(), decimals=8, expected_decimals=8), []),
    ],
)
def test_what_a_feed_says_of_itself(one, expected):
    """Zero, negative, old, incomplete, at a bound, in other decimals: each has its name."""
    assert checks(one) == expected


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        ((1, 1), []),
        ((119, 100), []),
        ((121, 100), ["deviation"]),
        ((1, 2_000), ["deviation"]),
        ((10, 1), ["decimals"]),
        ((1, 1_000), ["decimals"]),
        ((10**10, 1), ["decimals"]),
        ((11, 1), ["decimals"]),
        ((13, 1), ["deviation"]),
    ],
)
def test_a_price_that_another_source_contradicts(factor, expected):
    """A missing multiplication, a shifted point: by a factor, or by a power of ten."""
    wrong = replace(at_round(), price=PRICE * factor[0] // factor[1])

    assert checks(wrong, seconds=[second(2_600)]) == expected


def test_a_second_source_that_fails_says_nothing():
    """No price is no contradiction."""
    assert checks(at_round(), seconds=[replace(second(1), price=None)]) == []


def test_a_jump_is_suspicious_without_a_second_source():
    """More than ten times off its own median: until the median follows."""
    assert checks(at_round(), medians={ETHER: 10 * PRICE}) == []
    assert checks(at_round(), medians={ETHER: 10 * PRICE + 1}) == ["jump"]


def test_a_heartbeat_of_its_own():
    """A feed that answers hourly is stale long before the others."""
    rules = replace(RULES, heartbeats={FEED: 3_600}, slack_seconds=0)

    assert checks(at_round(updated_at=START - 3_601), rules=rules) == ["stale"]


def test_unknown_ages_do_not_silence_the_default_keeper():
    """Most adapters do not say when they were answered: that alone is no reason to stop."""
    assert COMPETITIVE.oracle.responses[Check.AGE_UNKNOWN] is Response.EXECUTE
    others = {one for one in Check if one is not Check.AGE_UNKNOWN}
    assert {COMPETITIVE.oracle.responses[one] for one in others} == {Response.SKIP}


def test_a_small_difference_matters_to_the_highly_leveraged():
    """2.85 % off is nothing at a loan to value of 75 %, and more than half the equity at 93 %."""
    stated = MarketFacts(readings=(reading(PRICE),), seconds={ETHER: (second(2_676),)})
    calm = exposure_of(PRICE, 2_600 * 75 // 100)
    steep = exposure_of(PRICE, 2_600 * 95 // 100, weight=95)

    assert deviant(RULES, stated, calm) is None
    assert deviant(RULES, stated, steep).check is Check.DEVIATION


@pytest.mark.parametrize(
    ("response", "waits", "alarms"),
    [(Response.SKIP, True, 1), (Response.ALERT, False, 1), (Response.EXECUTE, False, 0)],
)
def test_what_follows_is_the_operators_choice(response, waits, alarms):
    """Left alone and told, told, or nothing but counted."""
    rules = replace(RULES, responses={**RULES.responses, Check.AT_BOUND: response})
    story = Story(debts={1: 1_600}, settings=replace(COMPETITIVE_HERE, oracle=rules))
    floor = reading(1_990 * USD, round=a_round(1_990 * USD, START), minimum=1_990 * USD)
    story.play(2_600)
    story.readings = (floor,)

    told = story.play(1_990)

    assert bool(story.waits) is waits
    assert [one for one in told if one[1] == "alarm"] == [(1, "alarm", 0, "")] * alarms
    assert any(one[1] == "called" for one in told) is not waits
    if waits:
        assert story.waits[1].reason == "oracle_suspect"
        assert "the least that the aggregator can say" in story.waits[1].detail


def test_a_second_source_that_never_answers_is_an_alarm():
    """A wrong address would go unnoticed: whoever asks does without, and confirms nothing."""
    story = Story(debts={1: 1_600})
    story.play(2_600)
    story.seconds = (replace(second(1), price=None),)

    told = story.play(2_600, 2_600)

    assert told == [(1, "alarm", 0, "")]
    assert story.notices[-1].detail == "the second source of WETH fails: another feed"
    assert not story.waits
