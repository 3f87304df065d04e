"""Tiers and episodes: who is told what, once, whatever the chain and the clocks do."""

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.margin.episodes import acknowledged, advanced, ahead_of, answered
from keeper.margin.guard import Block
from keeper.margin.settings import SEVERITY, Span, Telling
from keeper.margin.standing import stood
from keeper.margin.state import Mark
from keeper.risk.tiers import Tier
from tests.unit.margin.story import (
    COMPETITIVE_HERE,
    GUARDIAN_HERE,
    MARKET,
    Story,
    exposure_of,
    health_of,
    reading,
    someone,
    subject,
)

# One ether at 80 % against 1,600 dollars: health is the price / 2,000.
DEBT = 1_600
QUIET = Telling(remind_seconds={}, escalate_seconds={})


def a_story(**changes):
    return Story(**{"debts": {1: DEBT}, **changes})


def test_an_account_that_sinks_is_told_of_each_tier_once_and_of_its_cure():
    """Down through all tiers and back: four calls and one closing, in one episode."""
    story = a_story()

    told = story.play(2_600, 2_480, 2_480, 2_190, 2_050, 1_990, 2_300, 2_600, 2_600, 2_600, 2_600)

    assert told == [
        (2, "called", 1, "watch"),
        (4, "called", 1, "call"),
        (5, "called", 1, "urgent"),
        (6, "called", 1, "liquidatable"),
        (10, "cured", 1, "liquidatable"),
    ]
    assert {one.episode for one in story.notices} == {1}
    assert story.state.standings == {}


def test_a_fall_through_several_tiers_is_one_call():
    """Who jumps from healthy to urgent is told of that, not of two lesser things as well."""
    story = a_story()

    assert story.play(2_600, 2_050, 2_190, 2_480) == [(2, "called", 1, "urgent")]


def test_trembling_around_a_line_is_one_call():
    """Entered below 1.25 and left at 1.2625: between them nothing happens."""
    story = a_story()

    told = story.play(2_600, 2_499, 2_501, 2_499, 2_524, 2_499)

    assert told == [(2, "called", 1, "watch")]


def test_a_short_recovery_does_not_end_an_episode():
    """Three blocks in a row out of every tier end it; two do not, and nobody is called again."""
    story = a_story()

    told = story.play(2_480, 2_600, 2_600, 2_480, 2_600, 2_600, 2_600, 2_480)

    assert told == [(1, "called", 1, "watch"), (7, "cured", 1, "watch"), (8, "called", 1, "watch")]
    assert [one.episode for one in story.notices] == [1, 1, 2]
    assert len({one.key for one in story.notices}) == 3


def test_who_repays_everything_is_cured():
    """An account that is gone from the market owes nothing."""
    story = a_story()
    story.play(2_050)
    story.gone = {1}

    assert story.play(2_050, 2_050, 2_050) == [(3, "cured", 1, "urgent")]


def test_a_liquidation_is_told_as_one_when_the_account_leaves_the_line():
    """It is told at once, once, and the episode's end says nothing more."""
    story = a_story()
    story.play(2_050, 1_990)
    story.liquidated = frozenset({subject(1)})

    told = story.play(2_200, 2_600, 2_600, 2_600)

    assert told == [(1, "liquidated", 1, "liquidatable")]


def test_who_has_nothing_left_is_not_called():
    """Debt without collateral is nobody's emergency: there is nothing to save."""
    story = a_story()
    facts = story.facts(1_990)
    bare = {
        key: replace(one, legs=tuple(replace(leg, collateral=0) for leg in one.legs))
        for key, one in facts.exposures.items()
    }

    assert advanced(story.settings, story.state, replace(facts, exposures=bare)).notices == ()


def test_the_first_look_says_so():
    """Whoever is found in a tier on the first day did not just fall into it."""
    story = Story(debts=dict.fromkeys(range(1, 51), DEBT))

    story.play(2_050, 1_990)

    first, later = story.notices[:50], story.notices[50:]
    assert all(one.detail.startswith("first look: ") for one in first)
    assert not any(one.detail.startswith("first look: ") for one in later)
    assert len(later) == 50


def test_the_first_look_says_so_where_a_guard_confirms_it_blocks_later():
    """Under a guard nobody enters a tier in the first block; it is still what was found."""
    story = Story(debts=dict.fromkeys(range(1, 51), DEBT), settings=GUARDIAN_HERE, restarts=True)

    story.play(2_050, 2_050, 2_050, 1_990, 1_990, 1_990)

    first, later = story.notices[:50], story.notices[50:]
    assert all(one.detail.startswith("first look: ") for one in first)
    assert not any(one.detail.startswith("first look: ") for one in later)
    assert len(later) == 50


def test_below_the_floor_no_time_is_promised():
    """The holder would rely on it, and is liquidated in the same block."""
    wanted = replace(GUARDIAN_HERE, guard=replace(GUARDIAN_HERE.guard, confirm=()))
    above, below = (a_story(settings=wanted) for _ in range(2))
    above.play(2_600, 1_990)
    below.play(2_600, 1_850)

    assert above.notices[-1].deadline == above.notices[-1].timestamp + 300
    assert above.notices[-1].detail == "by its policy this keeper grants 25 blocks and 300 s"
    assert below.notices[-1].deadline is None
    assert below.notices[-1].detail == "below the floor of its policy this keeper does not wait"


def test_reminders_and_escalation_come_when_they_are_due_and_end_with_an_acknowledgement():
    """Urgent: others are told after a quarter of an hour, and the holder every hour."""
    story = a_story(
        settings=replace(
            COMPETITIVE_HERE,
            telling=Telling(remind_seconds={Tier.URGENT: 120}, escalate_seconds={Tier.URGENT: 60}),
        )
    )

    told = story.play(*[2_050] * 22)

    assert told == [
        (1, "called", 1, "urgent"),
        (6, "escalated", 1, "urgent"),
        (11, "reminder", 1, "urgent"),
        (21, "reminder", 1, "urgent"),
    ]
    assert len({one.key for one in story.notices}) == 4
    story.state = acknowledged(story.state, subject(1), Mark(number=22, timestamp=1, wall=1))
    assert story.play(*[2_050] * 30) == []


def test_a_worse_tier_calls_again_although_the_lesser_was_acknowledged():
    """Taking notice of one thing is not taking notice of what came after it."""
    story = a_story()
    story.play(2_190)
    story.state = acknowledged(story.state, subject(1), Mark(number=1, timestamp=1, wall=1))

    assert story.play(2_050) == [(1, "called", 1, "urgent")]
    assert story.state.standings[subject(1)].acknowledged is None


def test_reminders_missed_while_it_was_down_are_one():
    """After a night of being off nobody gets a dozen of them."""
    story = a_story(
        settings=replace(
            COMPETITIVE_HERE,
            telling=Telling(remind_seconds={Tier.URGENT: 120}, escalate_seconds={}),
        )
    )
    story.play(2_050)
    story.number += 1_000

    assert story.play(2_050, 2_050) == [(1, "reminder", 1, "urgent")]


def reminded_of(health):
    """What is told of an account in a tier when a reminder is due and its health is so."""
    telling = Telling(remind_seconds={Tier.URGENT: 12}, escalate_seconds={})
    story = a_story(settings=replace(GUARDIAN_HERE, guard=COMPETITIVE_HERE.guard, telling=telling))
    story.play(2_050)
    story.number += 1
    facts = story.facts(2_050)
    found = {subject(1): health(facts.accounts[subject(1)])} if health else {}
    facts = replace(facts, accounts=found, exposures={}, unanswered=True)
    return advanced(story.settings, story.state, facts).notices


def test_a_reminder_of_an_account_without_a_value_states_no_figure():
    """The zeros that stand for its figures would read as a debt repaid or a line crossed."""
    nothing = {"health_factor": 0, "collateral_base": 0, "debt_base": 0, "liquidatable": False}

    (told,) = reminded_of(lambda one: replace(one, **nothing, unpriced="no price of WETH"))

    assert (told.kind, told.tier, told.liquidatable) == ("reminder", "urgent", None)
    assert (told.health_factor, told.debt_usd_e8, told.collateral_usd_e8) == (None, None, None)
    assert told.deadline is None
    assert told.detail == "still in urgent after 12 s; its health is not known: no price of WETH"


def test_nobody_who_owes_nothing_is_reminded_while_it_is_unknown_why():
    """It is kept in its tier until the chain says whether it was liquidated."""
    assert reminded_of(lambda one: one)
    assert reminded_of(None) == ()


def test_a_market_that_fails_is_one_alarm_and_leaves_the_others_alone():
    """Its own accounts stay where they are; when it is well again, that is told, too."""
    story = a_story()
    story.play(2_050)
    story.failed = {MARKET: "the oracle reverts"}
    assert story.play(2_050, 2_050, 2_050) == [(1, "alarm", 0, "")]

    story.failed = {}
    assert story.play(2_050, 2_050, 2_050, 1_990) == [
        (3, "alarm", 0, ""),
        (4, "called", 1, "liquidatable"),
    ]
    assert story.notices[-2].detail == (
        "well again; told before: the market cannot be read: the oracle reverts"
    )


def test_a_price_is_not_well_again_because_its_market_cannot_be_read():
    """Nothing is known of it then; what is well is told once it can be seen."""
    story = a_story()
    story.play(2_300)
    story.readings = (reading(0),)
    assert story.play(2_300) == [(1, "alarm", 0, "")]
    story.failed = {MARKET: "the oracle reverts"}
    assert story.play(*[2_300] * 5) == [(1, "alarm", 0, "")]

    story.failed, story.readings = {}, None
    assert story.play(*[2_300] * 3) == [(3, "alarm", 0, ""), (3, "alarm", 0, "")]


@pytest.mark.parametrize("price", [2_050, 1_990], ids=["urgent", "liquidatable"])
@pytest.mark.parametrize("taken", [False, True], ids=["written off", "liquidated"])
def test_who_has_a_debt_and_nothing_behind_it_is_not_told_to_be_well(price, taken):
    """Nor is it called liquidatable for ever: there is nothing left to take."""
    story, told = a_story(), []
    story.play(price)
    for _ in range(4):
        story.number += 1
        bare = exposure_of(0, DEBT)
        facts = replace(
            story.facts(price),
            accounts={subject(1): health_of(1, bare)},
            exposures={subject(1): bare},
            liquidated=frozenset({subject(1)} if taken else ()),
        )
        found = advanced(story.settings, story.state, facts)
        story.state, told = found.state, [*told, *found.notices]

    kind = "liquidated" if taken else "cured"
    assert [(one.kind, one.detail) for one in told] == [(kind, "nothing backs its debt any more")]
    assert not story.state.standings


def test_a_price_of_nothing_calls_nobody():
    """A feed at zero makes everybody liquidatable: that is the feed's trouble, not theirs."""
    story = Story(debts=dict.fromkeys(range(1, 11), DEBT))
    story.play(2_300)
    story.readings = (reading(0),)

    assert story.play(1, 1) == [(1, "alarm", 0, "")]
    assert {one.reason for one in story.waits.values()} == {"oracle_suspect"}
    assert len(story.waits) == 10


# --- whatever chain and clocks do ---

PRICES = st.lists(st.sampled_from([2_600, 2_520, 2_480, 2_190, 2_050, 1_990, 1_850]), max_size=16)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(prices=PRICES, data=st.data())
def test_restarts_and_doubled_heads_change_nothing(prices, data):
    """Stored and read again after any block, or the block seen twice: the same is told, once."""
    for policy in (COMPETITIVE_HERE, GUARDIAN_HERE):
        plain = a_story(settings=policy)
        shaken = a_story(settings=policy, restarts=True)
        for price in prices:
            expected = plain.block(price)
            assert shaken.block(price) == expected
            if data.draw(st.booleans(), label="doubled"):
                assert shaken.block(price, again=True) == []
                assert shaken.waits == plain.waits
        assert shaken.state == plain.state
        keys = [one.key for one in shaken.notices]
        assert len(keys) == len(set(keys))


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(prices=PRICES, data=st.data())
def test_an_answer_looks_again_at_those_in_question_and_finds_what_looking_at_all_does(
    prices, data
):
    """In a crash most accounts got worse, and of those nobody asks whether they are gone."""
    for policy in (COMPETITIVE_HERE, GUARDIAN_HERE):
        story = a_story(settings=policy, debts={one: 1_500 + 30 * one for one in range(1, 9)})
        for price in prices:
            story.block(price)
            story.number += 1
            facts = story.facts(data.draw(st.sampled_from([2_600, 2_190, 1_990]), label="next"))
            acted_on = data.draw(st.frozensets(st.integers(1, 8)), label="acted on")
            before = replace(facts, liquidated=frozenset(subject(one) for one in acted_on))
            state = ahead_of(policy, story.state, before, [subject(one) for one in acted_on]).state
            found = advanced(policy, state, facts)
            gone = [one for one in found.questions if data.draw(st.booleans(), label="gone")]
            unanswered = data.draw(st.booleans(), label="unanswered")
            facts = replace(facts, liquidated=frozenset(gone), unanswered=unanswered)
            expected = advanced(policy, state, facts)
            assert answered(policy, state, facts, found) == expected


def test_a_standing_that_moves_keeps_everything_else():
    """It is built anew in each block; a field that is forgotten there would be lost."""
    story = a_story()
    story.play(2_050, 1_990)
    mark = Mark(number=1, timestamp=2, wall=3)
    kept = {
        "episode": 7,
        "opened": mark,
        "told": frozenset(SEVERITY),
        "reminded": {Tier.CALL: 3},
        "escalated": frozenset({Tier.URGENT}),
        "acknowledged": mark,
        "liquidated": True,
    }
    moves = {"tier", "entered", "breaches", "out", "health", "guarded"}
    before = replace(story.state.standings[subject(1)], **kept)
    story.number += 1
    block = Block(story.settings, story.state, facts := story.facts(2_050))

    after = stood(block, subject(1), before, facts.accounts[subject(1)])

    assert after.tier is not before.tier
    assert {one.name for one in fields(before)} == moves | kept.keys()
    assert {name: getattr(after, name) for name in kept} == kept


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(prices=PRICES, orphaned=PRICES, after=PRICES, cut=st.integers(1, 6))
def test_a_reorganisation_neither_repeats_nor_loses_a_call(prices, orphaned, after, cut):
    """No key comes twice, and whoever is in a tier in the end was told of it, or of a worse one."""
    story = a_story(settings=replace(COMPETITIVE_HERE, telling=QUIET))
    for price in [*prices, *orphaned[:cut]]:
        story.block(price)
    story.number = len(prices)
    story.branch = "b"
    for at, price in enumerate(after):
        story.block(price, fork=len(prices) if at == 0 else None)

    keys = [one.key for one in story.notices]
    assert len(keys) == len(set(keys))
    plain = a_story(settings=story.settings)
    plain.play(*prices, *after)
    assert worst_call(story.notices) >= worst_call(plain.notices)
    standing = story.state.standings.get(subject(1))
    if standing is not None:
        assert SEVERITY[standing.worst_told] >= SEVERITY[standing.tier]


def worst_call(notices):
    """The worst tier that anybody was called for."""
    return max((SEVERITY[Tier(one.tier)] for one in notices if one.kind == "called"), default=0)


def test_a_dip_that_a_reorganisation_takes_back_and_brings_again_is_one_call():
    """The block that called somebody is replaced by one above the line and one below it."""
    story = a_story()
    story.play(2_600, 2_480)
    story.number, story.branch = 1, "b"

    assert story.block(2_600, fork=1) == []
    assert story.block(2_480) == []


def test_a_cure_that_a_reorganisation_takes_back_is_not_told():
    """Out of every tier for two blocks, which then are no more."""
    story = a_story()
    story.play(2_480, 2_600, 2_600)
    story.number, story.branch = 1, "b"

    assert story.block(2_480, fork=1) == []
    assert story.state.standings[subject(1)].episode == 1


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    jumps=st.lists(
        st.tuples(
            st.sampled_from(["chain", "wall", "reorg", "restart", "none"]),
            st.integers(-90_000, 90_000),
        ),
        max_size=8,
    )
)
def test_no_jump_of_one_clock_no_reorg_and_no_restart_shortens_a_grace(jumps):
    """Whoever was promised 300 seconds and 25 blocks has had both when it ends."""
    promised = Span(blocks=25, seconds=300)
    story = a_story(
        settings=replace(
            GUARDIAN_HERE,
            grace={Tier.LIQUIDATABLE: promised},
            guard=replace(GUARDIAN_HERE.guard, confirm=(), acting=False, tiers=False),
        )
    )
    story.block(2_600)
    story.block(1_990)
    began = story.number
    true_seconds = blocks = 0
    moved = False
    for kind, by in jumps:
        if kind == "chain" and not moved:
            story.time_ahead += abs(by)
            story.wall_ahead -= abs(by)
            moved = True
        elif kind == "wall" and not moved:
            story.wall_ahead += by
            moved = True
        elif kind == "restart":
            story.restarts = not story.restarts
        elif kind == "reorg":
            story.branch += "x"
            story.number -= 1
            story.block(1_990, fork=story.number)
        story.block(1_990)
        true_seconds += 12
        blocks = story.number - began
        if not story.waits:
            assert true_seconds >= promised.seconds
            assert blocks >= promised.blocks


@pytest.mark.parametrize("kind", ["chain", "wall"])
def test_a_clock_that_jumps_a_day_ahead_ends_no_grace(kind):
    """The other clock has not moved."""
    story = a_story(
        settings=replace(
            GUARDIAN_HERE,
            grace={Tier.LIQUIDATABLE: Span(blocks=2, seconds=300)},
            guard=replace(GUARDIAN_HERE.guard, confirm=()),
        )
    )
    story.play(2_600, 1_990, 1_990)
    if kind == "chain":
        story.time_ahead, story.wall_ahead = 86_400, -86_400
    else:
        story.wall_ahead = 86_400
    story.play(1_990, 1_990)

    assert story.waits[1].reason == "policy_grace"
    assert someone(1) in {one.account for one in story.notices}
