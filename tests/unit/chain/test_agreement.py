"""Whether two endpoints tell one chain, whatever each of them has told so far."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.agreement import HELD_SECONDS, Disagreements, Sightings


def a_head(number, branch="a", parent="a"):
    return SimpleNamespace(
        number=number, hash=f"{branch}{number}", parent_hash=f"{parent}{number - 1}"
    )


def told(first, last, fork=None, step=1):
    """Sightings of an endpoint that told some heads of a chain, which leaves ``a`` at a fork."""
    seen = Sightings()
    for number in range(first, last + 1, step):
        forked = fork is not None and number >= fork
        parent = "b" if fork is not None and number > fork else "a"
        seen.saw(a_head(number, "b" if forked else "a", parent))
    return seen


heights = st.integers(1, 40)
steps = st.integers(1, 3)


spans = st.tuples(heights, heights, steps)


@pytest.mark.slow
@given(spans, spans)
def test_one_chain_never_contradicts_itself(ours, theirs):
    """Late, sparse or short as the sightings may be."""
    one, two = (told(first, first + more, step=step) for first, more, step in (ours, theirs))

    assert one.contradiction(two) is None


@pytest.mark.slow
@given(heights, st.integers(0, 20), st.integers(0, 20))
def test_two_chains_contradict_each_other_from_their_fork_on_and_not_before(fork, ours, theirs):
    """As soon as both spoke of a height that they do not share."""
    one, two = told(1, fork + ours), told(1, fork + theirs, fork=fork)
    common = fork + min(ours, theirs)

    assert one.contradiction(two) == common
    assert two.contradiction(one) == common
    assert told(1, fork - 1).contradiction(two) is None


def test_a_branch_that_is_left_is_forgotten():
    """The reorganised endpoint agrees as soon as it speaks of the other's blocks."""
    one, two = told(1, 9), told(1, 9, fork=8)
    apart = one.contradiction(two)
    two.saw(a_head(10))

    one.saw(a_head(10))
    assert apart == 9
    assert one.contradiction(two) is None


def test_what_nobody_meets_again_is_over_and_what_lasts_is_not():
    """A receipt that nobody asks for any more must not hold anything for ever."""
    now, news = [0.0], []
    found = Disagreements(clock=lambda: now[0], told=news.append)
    found.found("receipt", "0x1", "0 and 1 differ")
    found.found("receipt", "0x1", "0 and 1 differ")
    found.found("head", "0/1", "different blocks 7", lasting=True)
    both = found.reasons()
    now[0] = HELD_SECONDS

    assert len(both) == 2
    assert found.reasons() == found.lasting() == ["endpoints disagree on head: different blocks 7"]
    assert found.counts == {"receipt": 1, "head": 1}
    assert [one.over for one in news] == [False, False, True]
