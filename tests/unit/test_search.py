"""Searches over integers, against trying them all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.search import Guess, least, least_for_good

LIMIT = 60


guesses = st.builds(Guess, st.integers(-5, LIMIT + 20), st.integers(0, 70))


@pytest.mark.slow
@given(st.integers(0, LIMIT + 5), st.integers(-1, LIMIT), guesses)
def test_the_least_is_the_first_that_holds(first, limit, guess):
    """Also where it is zero, the limit, or beyond it; whatever was guessed."""
    expected = first if first <= limit else None

    assert least(limit, lambda at: at >= first, guess) == expected
    assert least(limit, lambda at: at >= first) == expected


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=8), guesses)
def test_a_test_that_goes_back_and_forth_is_left_for_good(segments, guess):
    """Within each level it turns true once; what counts is the last time it turns."""
    told, levels = [], []
    for number, (size, turns) in enumerate(segments):
        told += [at >= turns for at in range(size)]
        levels += [number] * size
    limit = len(told) - 1
    failing = [at for at, holds in enumerate(told) if not holds]
    expected = None if not told[-1] else failing[-1] + 1 if failing else 0
    surely = (failing[-1] if failing else -1) + 2

    for level in (levels, [-one for one in levels]):
        found = least_for_good(
            limit, told.__getitem__, lambda at: at >= surely, level.__getitem__, guess
        )

        assert found == expected


@pytest.mark.parametrize(
    ("first", "limit", "expected"),
    [(0, 0, 0), (1, 0, None), (0, -1, None), (7, 7, 7), (8, 7, None), (3, 60, 3)],
)
def test_the_least_at_the_edges(first, limit, expected):
    """The first, the last, and none at all."""
    assert least(limit, lambda at: at >= first) == expected


@pytest.mark.parametrize("guess", [-1, 0, 4, 59, 60, 80])
def test_a_good_guess_saves_tests_and_a_bad_one_costs_no_answer(guess):
    """Whatever was guessed, also out of all bounds."""
    tried = []

    def holds(at):
        tried.append(at)
        return at >= 59

    assert least(LIMIT, holds, Guess(guess, 2)) == 59
    assert all(0 <= at <= LIMIT for at in tried)
