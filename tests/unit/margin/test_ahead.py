"""A block's news of those who are acted on, kept before all the rest: the same in two steps."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.margin.episodes import advanced, ahead_of, wanting
from keeper.margin.restraint import restrained
from keeper.margin.settings import COMPETITIVE, GUARDIAN
from tests.unit.margin.story import Story, revived, subject, told

DEBTS = {1: 1_600, 2: 1_500, 3: 1_700, 4: 1_200}
PRICES = st.lists(st.sampled_from([1_400, 1_890, 1_990, 2_040, 2_190, 2_600]), max_size=9)
GROUPS = st.frozensets(st.sampled_from(sorted(DEBTS)))


def a_story(settings):
    return Story(dict(DEBTS), settings=replace(settings, both_clocks=False))


def ahead(story, price, who, *, fork=None):
    """Play a block as far as these accounts; return what was found, and the block's facts."""
    facts = story.facts(price, fork=fork)
    subjects = [subject(one) for one in who]
    found = ahead_of(story.settings, story.state, facts, subjects)
    story.state = revived(found.state)
    return found, facts


@pytest.mark.slow
@pytest.mark.parametrize("settings", [COMPETITIVE, GUARDIAN], ids=["competitive", "guardian"])
@given(prices=PRICES, last=st.sampled_from([1_400, 1_990, 2_600]), groups=st.lists(GROUPS))
def test_two_steps_come_to_the_same_as_one(settings, prices, last, groups):
    """Standings, episodes, notices and what the policy says, however the block was split."""
    story = a_story(settings)
    story.play(*prices)
    story.number += 1
    facts = story.facts(last)
    whole = advanced(story.settings, story.state, facts)
    policy = restrained(story.settings, story.state, facts)
    notices = []
    for who in groups:
        found, _ = ahead(story, last, who)
        notices += found.notices
        assert restrained(story.settings, story.state, facts) == policy
    rest = advanced(story.settings, story.state, facts)

    assert rest.state == whole.state
    assert sorted(one.key for one in (*notices, *rest.notices)) == [
        one.key for one in sorted(whole.notices, key=lambda one: one.key)
    ]


def test_after_a_crash_between_both_steps_nobody_is_called_twice_or_never():
    """The restarted keeper goes on at the next block: the one who was acted on is in his tier."""
    story = a_story(COMPETITIVE)
    story.play(2_600)
    story.number += 1
    found, _ = ahead(story, 1_990, [1])
    assert [told(one) for one in found.notices] == [("called", 1, "liquidatable")]

    later = story.block(1_990)

    assert ("called", 1, "liquidatable") not in later
    assert ("called", 3, "liquidatable") in later
    assert story.state.ahead is None


def test_a_block_that_is_taken_back_after_the_first_step_shortens_no_wait():
    """What began in it for those who were acted on begins with the block that came instead."""
    story = a_story(COMPETITIVE)
    story.play(2_600)
    story.number += 1
    ahead(story, 2_190, [1])
    assert story.state.standings[subject(1)].entered

    story.branch, story.time_ahead = "b", 7
    story.block(2_190, again=True)

    marks = story.state.standings[subject(1)].entered.values()
    assert {one.timestamp for one in marks} == {story.state.timestamp}


def test_legs_are_asked_of_those_alone_who_are_acted_on():
    """Ten thousand others cost no look at their legs before something is sent."""
    story = a_story(GUARDIAN)
    story.play(2_600)
    story.number += 1
    facts = story.facts(1_990)

    assert wanting(story.settings, story.state, facts, [subject(1)]) == [subject(1)]
    assert len(wanting(story.settings, story.state, facts)) > 1
