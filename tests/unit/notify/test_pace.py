from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.telling import Waiting
from keeper.notify.pace import Pace
from tests.support.notices import notice

PACE = Pace(
    group_seconds=3,
    digest_above=4,
    max_per_minute=10,
    timeout_seconds=15,
    first_retry_seconds=5,
    longest_retry_seconds=900,
    give_up_seconds=86_400,
    alarm_after_failures=3,
)


def waiting(count, since=100):
    return [
        Waiting(delivery=at, notice=notice(key=f"k{at}"), since=since + at) for at in range(count)
    ]


def test_waits_double_up_to_the_longest():
    """A service that is down for an hour is not asked a thousand times."""
    assert [PACE.retry_after(failures, None) for failures in (1, 2, 3, 8, 9, 10**6)] == [
        5,
        10,
        20,
        640,
        900,
        900,
    ]


def test_what_the_other_side_asks_for_is_honoured():
    """Also beyond our own longest; never less than our own."""
    assert PACE.retry_after(1, 7.2) == 8
    assert PACE.retry_after(9, 1.0) == 900
    assert PACE.retry_after(1, 3_600.0) == 3_600


def test_those_who_come_together_are_told_together():
    """The oldest waits for the group's time, and no longer."""
    assert not PACE.is_ripe([], 10**9)
    assert not PACE.is_ripe(waiting(2), 102)
    assert PACE.is_ripe(waiting(2), 103)


@pytest.mark.slow
@given(st.integers(0, 50), st.integers(-5, 20))
def test_everybody_who_waits_is_told_once_and_the_room_is_kept(count, room):
    """A digest takes everybody in; without room all wait."""
    groups = PACE.groups(waiting(count), room)

    told = [one.delivery for group in groups for one in group]
    assert len(groups) <= max(room, 0)
    assert told == (list(range(count)) if room > 0 else [])


def test_few_are_told_one_by_one():
    """Each account's holder reads of his own."""
    assert [len(group) for group in PACE.groups(waiting(4), 10)] == [1, 1, 1, 1]
    assert [len(group) for group in PACE.groups(waiting(5), 10)] == [5]
    assert [len(g) for g in replace(PACE, digest_above=99).groups(waiting(5), 3)] == [5]
