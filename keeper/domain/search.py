"""Exact integer searches for the smallest amount that passes a test."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Test = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Guess:
    """Expected answer of a search, and its first step.

    A guess never changes the answer, only the duration of the search.
    """

    near: int
    step: int = 1


_LOW: Final = Guess(0)


def least(limit: int, holds: Test, guess: Guess = _LOW) -> int | None:
    """Return the least of 0..``limit`` that ``holds``. None if the limit does not.

    ``holds`` must be monotonic.
    """
    return _find_first(limit, holds, guess) if limit >= 0 and holds(limit) else None


def least_for_good(
    limit: int, holds: Test, surely: Test, level: Callable[[int], int], guess: Guess = _LOW
) -> int | None:
    """Return the least of 0..``limit`` from which on all ``holds``. None if the limit fails.

    For tests that rounding makes non-monotonic. Between two changes of the monotonic ``level``,
    ``holds`` is monotonic. ``surely`` is monotonic everywhere and implies ``holds``.
    """
    if limit < 0 or not holds(limit):
        return None
    high = _find_first(limit, surely, guess) if surely(limit) else limit
    while True:
        low = _find_first(high, _build_level_test(level, high), Guess(high, guess.step))
        if not holds(low):
            return _bisect_first(low, high, holds)
        if low == 0 or not holds(low - 1):
            return low
        high = low - 1


def _build_level_test(level: Callable[[int], int], high: int) -> Test:
    here = level(high)
    return lambda at: level(at) == here


def _find_first(limit: int, holds: Test, guess: Guess) -> int:
    """Return the first of 0..``limit`` that passes, if the limit does."""
    near, step = min(max(guess.near, 0), limit), max(1, guess.step)
    if holds(near):
        high, low = near, near - step
        while low > 0 and holds(low):
            step *= 2
            high, low = low, low - step
        if low <= 0:
            if holds(0):
                return 0
            low = 0
    else:
        low, high = near, near + step
        while high < limit and not holds(high):
            step *= 2
            low, high = high, high + step
        high = min(high, limit)
    return _bisect_first(low, high, holds)


def _bisect_first(low: int, high: int, holds: Test) -> int:
    """Return the first that passes, if ``low`` does not and ``high`` does."""
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
