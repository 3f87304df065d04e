"""Settings of margin calls: what is refused, and what a policy's name brings with it."""

import pytest

from keeper.config import Settings, SettingsInvalid, validated
from keeper.domain.units import WAD
from keeper.margin.settings import (
    COMPETITIVE,
    DAY,
    GUARDIAN,
    Check,
    Confirms,
    Measure,
    Order,
    Response,
    Span,
)
from keeper.risk.tiers import Tier

FEED = "0x" + "1" * 40
TOKEN = "0x" + "2" * 40
CHAIN = {"id": 1, "endpoints": ["ws://127.0.0.1:8545"]}
MARKET = {"protocol": "aave_v3", "from_block": 0, "addresses_provider": "0x" + "3" * 40}


def made(**sections):
    return validated(Settings, {"chain": CHAIN, "market": [MARKET], **sections}, where="")


def refusal(**sections):
    with pytest.raises(SettingsInvalid) as caught:
        made(**sections)
    return str(caught.value)


def test_the_default_is_the_competitive_policy_and_no_other():
    """What nobody set is as the rules themselves say."""
    wanted = made().margin()

    assert wanted == COMPETITIVE


def test_the_guardian_is_one_word():
    """Grace, guard, floor, order and subsidy come with the name."""
    assert made(policy={"name": "guardian"}).margin() == GUARDIAN


def test_every_part_of_a_policy_can_be_overridden():
    """The rest stays the policy's own."""
    wanted = made(
        policy={
            "name": "guardian",
            "order": "profit",
            "grace": {"liquidatable_blocks": 3, "call_seconds": 60},
            "guard": {"confirm": ["blocks", "window"], "combine": "all", "acting": False},
            "floor": {"health": "0.9"},
            "subsidy": {"per_day_usd": "5"},
        }
    ).margin()

    assert wanted.order is Order.PROFIT
    assert wanted.grace == {
        Tier.LIQUIDATABLE: Span(blocks=3, seconds=300),
        Tier.CALL: Span(blocks=0, seconds=60),
    }
    assert wanted.guard.confirm == (Confirms.BLOCKS, Confirms.WINDOW)
    assert (wanted.guard.every, wanted.guard.acting, wanted.guard.tiers) == (True, False, True)
    assert (wanted.floor.health, wanted.floor.bad_debt_bps) == (9 * WAD // 10, 200)
    assert wanted.subsidy.per_day_usd_e8 == 5 * 10**8
    assert wanted.subsidy.per_account_usd_e8 == GUARDIAN.subsidy.per_account_usd_e8


def test_a_feed_has_a_heartbeat_and_a_check_a_response():
    """By feed, by check; and nobody keeps feeds alive on a chain with a clock of its own."""
    oracle = {"feed": [{"address": FEED, "heartbeat_seconds": 3_600}], "stale": "alert"}
    rules = made(oracle=oracle).margin().oracle

    assert rules.heartbeats == {FEED: 3_600}
    assert rules.responses[Check.STALE] is Response.ALERT
    assert rules.heartbeat_seconds == DAY
    assert made(oracle=oracle).margin(both_clocks=False).oracle.heartbeat_seconds is None


def test_tiers_may_be_in_standard_deviations():
    """The lines that people see in a scan stay health factors."""
    tiers = {"measure": "volatility", "watch_deviations": "5", "call_deviations": "2.5"}
    wanted = made(policy={"tiers": tiers})

    assert wanted.margin().tiers.measure is Measure.VOLATILITY
    assert wanted.margin().tiers.band(Tier.WATCH).enter == 5 * WAD
    assert wanted.policy.tiers.thresholds.watch == 125 * WAD // 100


@pytest.mark.parametrize(
    ("tiers", "told"),
    [
        ({"watch": "1.05"}, "the tiers are not in order"),
        ({"call_deviations": "7"}, "the tiers are not in order"),
        ({"call_leave": "1.09"}, "call_leave is below call"),
        ({"call_leave": "1.26"}, "call_leave overlaps the tier watch: 1.26 is above its 1.25"),
        ({"urgent": "1.099"}, "urgent_leave overlaps the tier call"),
        ({"liquidatable_leave": "1.04"}, "liquidatable_leave overlaps the tier urgent"),
        ({"closing_after_blocks": 0}, "closing_after_blocks"),
        ({"measure": "feeling"}, "measure"),
        ({"wacht": "1.3"}, "wacht"),
    ],
)
def test_tiers_that_are_not_in_order_or_overlap_are_refused(tiers, told):
    """Each with what is wrong: a person has to mend it."""
    assert told in refusal(policy={"tiers": tiers})


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"policy": {"name": "friendly"}}, "policy.name"),
        ({"policy": {"grace": {"liquidatable_blocks": -1}}}, "liquidatable_blocks"),
        ({"policy": {"guard": {"confirm": ["prayer"]}}}, "confirm"),
        ({"policy": {"floor": {"health": "1.1"}}}, "floor.health"),
        ({"oracle": {"stale": "ignore"}}, "oracle.stale"),
        ({"oracle": {"second": [{"token": TOKEN}]}}, "a second source is a feed or a pool"),
        (
            {"oracle": {"second": [{"token": TOKEN, "feed": FEED, "pool": FEED}]}},
            "a second source is a feed or a pool",
        ),
        ({"calls": {"target": "1"}}, "calls.target"),
        ({"policy": {"guard": {"confirm": ["second_source"]}}}, "asks a second source"),
    ],
)
def test_what_makes_no_sense_is_refused(sections, told):
    """One line each, by its name."""
    assert told in refusal(**sections)
