"""A node that announces nothing is asked often while a block is due, and seldom otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.polling import LEAST_PAUSE, POLLS_PER_BLOCK, poll_pause

INTERVAL = 0.5
QUICK = 0.05
SLOTS = (12.0, 12.0, 12.0, 12.0)
seconds = st.floats(0.05, 60.0)


def polls(gaps, block, interval=INTERVAL):
    """The moments at which a node is asked until a block that comes at ``block`` is seen."""
    asked, since = [], 0.0
    while since < block:
        since += poll_pause(interval, gaps, since)
        asked.append(since)
    return asked


def test_a_block_in_its_slot_is_seen_at_once_and_costs_hardly_more():
    """Polled evenly it is seen up to half a second late, with 24 questions."""
    asked = polls(SLOTS, 12.02)

    assert asked[-1] - 12.02 <= QUICK
    assert len(asked) <= 32


def test_a_missed_slot_is_waited_for_at_the_usual_pace_and_the_next_is_seen_at_once():
    """Nothing comes between two slots."""
    asked = polls(SLOTS, 24.02)
    between = [moment for moment in asked if 13.5 < moment < 23.0]

    assert asked[-1] - 24.02 <= QUICK
    assert len(between) <= 20


def test_nothing_is_taken_to_be_due_before_the_gaps_are_known():
    """After a start the usual pace holds."""
    assert poll_pause(INTERVAL, SLOTS[1:], 12.0) == INTERVAL


@pytest.mark.slow
@given(gap=st.floats(0.2, 1.2))
def test_a_fast_chain_is_asked_a_few_times_per_block(gap):
    """A block is always due there: a quick pace without a bound would use up a plan."""
    assert len(polls((gap,) * 4, gap)) <= POLLS_PER_BLOCK + 1


@pytest.mark.slow
@given(interval=st.floats(0.01, 5.0), gaps=st.lists(seconds, max_size=4), since=seconds)
def test_a_node_is_asked_no_less_often_than_the_setting_says(interval, gaps, since):
    """And never without a pause."""
    pause = poll_pause(interval, gaps, since)

    assert min(interval, LEAST_PAUSE) <= pause <= interval
