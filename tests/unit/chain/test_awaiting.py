"""How long a block is waited for, and when another one stands in its place."""

import pytest

from keeper.chain.awaiting import (
    CALM,
    FIRST_PAUSES,
    MOST_SECONDS,
    Awaiting,
    RecentBlocks,
)
from keeper.chain.fields import head_of
from tests.support.scripted_node import block

SECONDS = 12.0


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self):
        return self.now


def a_head(number, branch="a", parent=None):
    return head_of(block(number, branch, parent))


def waiting(newest=100, seconds=SECONDS):
    """Return the patience of a reader that was handed on this head."""
    blocks, clock = RecentBlocks(), Clock()
    blocks.note(a_head(newest - 1))
    blocks.hand_on(a_head(newest))
    return Awaiting(blocks, seconds, clock), clock


def pauses(wait, clock):
    """Return every pause until the block is given up."""
    found = []
    while (pause := wait.next_pause()) is not None:
        found.append(pause)
        clock.now += pause
    return found


def test_a_young_block_is_waited_for_within_its_time():
    """After 25, 50 and 100 milliseconds, and then for as long as a block takes."""
    awaiting, clock = waiting()

    found = pauses(awaiting.begin(a_head(100).hash), clock)

    assert found[:3] == [0.025, 0.05, 0.1]
    assert sum(found) == pytest.approx(SECONDS)
    assert max(found) <= 0.2


def test_a_block_of_a_quick_chain_is_waited_for_a_second():
    """A node may be later than a block of a quarter of a second takes."""
    awaiting, clock = waiting(seconds=0.25)

    assert sum(pauses(awaiting.begin(a_head(100).hash), clock)) == pytest.approx(1.0)


@pytest.mark.parametrize("which", [60, a_head(60).hash, "0x" + "ab" * 32, 101, None])
def test_an_old_or_nameless_block_is_worth_the_first_pauses_only(which):
    """A node that has thrown it away will not have it later; nor one beyond the newest."""
    awaiting, clock = waiting()
    awaiting.blocks.note(a_head(60))

    assert pauses(awaiting.begin(which), clock) == list(FIRST_PAUSES)


def test_an_announced_block_is_young_before_it_is_handed_on():
    """The endpoint that announced it may be ahead of the one that is read from."""
    awaiting, clock = waiting()
    awaiting.blocks.note(a_head(101))

    assert sum(pauses(awaiting.begin(a_head(101).hash), clock)) == pytest.approx(SECONDS)


def test_a_newer_head_ends_the_waiting():
    """What is newer is worth more."""
    awaiting, clock = waiting()
    wait = awaiting.begin(a_head(100).hash)
    for _ in range(6):
        clock.now += wait.next_pause()
    awaiting.blocks.hand_on(a_head(101))

    assert wait.next_pause() is None


def test_endpoints_later_than_a_blocks_time_are_given_one_newer_head_more():
    """Else no block is ever read: each is overtaken just before it is served."""
    awaiting, clock = waiting()
    for number in (100, 101):
        wait = awaiting.begin(a_head(number).hash)
        for _ in range(6):
            clock.now += wait.next_pause()
        awaiting.blocks.hand_on(a_head(number + 1))
        outcome = wait.next_pause()
        if number == 100:
            assert outcome is None
    assert outcome is not None
    awaiting.blocks.hand_on(a_head(103))
    assert wait.next_pause() is None


def test_patience_with_late_endpoints_is_bounded_and_is_given_back():
    """However many blocks are given up; and a node that is quick again is believed to be."""
    awaiting, _ = waiting(seconds=1.0)
    for number in range(100, 120):
        awaiting.give_up(number)
        awaiting.give_up(number)
    assert awaiting.patience() == MOST_SECONDS
    assert [awaiting.is_overtaken(number) for number in (95, 94)] == [False, True]

    awaiting, _ = waiting(seconds=1.0)
    awaiting.give_up(a_head(99).hash)
    for _ in range(10):
        for _ in range(CALM - 1):
            awaiting.serve(a_head(100).hash)
        awaiting.serve(a_head(99).hash)  # a newer head had come by then
    assert awaiting.patience() == 2.0

    for _ in range(CALM):
        awaiting.serve(a_head(100).hash)
    assert awaiting.patience() == 1.0
    assert waiting(seconds=12.0)[0].patience() == 12.0


def test_another_block_of_that_height_under_the_head_is_a_reorganisation():
    """At its height, one above it, and further up where the way down is known."""
    ours = a_head(100)
    for heads in (
        [a_head(100, "b", "a")],
        [a_head(101, "b")],
        [a_head(100, "b", "a"), a_head(101, "b"), a_head(102, "b")],
    ):
        awaiting, _ = waiting()
        for head in heads:
            awaiting.blocks.hand_on(head)
        assert awaiting.blocks.is_replaced(ours.hash)


def test_a_newer_head_or_an_older_one_is_no_reorganisation():
    """The chain went on from the block, or a late endpoint spoke of one before it."""
    ours = a_head(100)
    for heads in ([a_head(101)], [a_head(101), a_head(102)], [a_head(99)], [a_head(150)]):
        awaiting, _ = waiting()
        for head in heads:
            awaiting.blocks.hand_on(head)
        assert not awaiting.blocks.is_replaced(ours.hash)


def test_the_oldest_headers_give_way():
    """A keeper runs for months."""
    blocks = RecentBlocks()
    for number in range(3_000):
        blocks.hand_on(a_head(number))

    assert blocks.number_of(a_head(0).hash) is None
    assert blocks.number_of(a_head(2_999).hash) == 2_999
