"""Exact searches over integers: the least amount that does what is wanted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Test = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Guess:
    """
    Where the answer should be, and by how much that may be off at first.

    A guess never changes the answer, only how long the search takes.
    """

    near: int
    step: int = 1


_LOW: Final = Guess(0)


def least(limit: int, holds: Test, guess: Guess = _LOW) -> int | None:
    """
    Return the least of 0..``limit`` that ``holds``; None if not even the limit does.

    ``holds`` must stay true from where it is true first.
    """
    return _first(limit, holds, guess) if limit >= 0 and holds(limit) else None


def least_for_good(
    limit: int, holds: Test, surely: Test, level: Callable[[int], int], guess: Guess = _LOW
) -> int | None:
    """
    Return the least of 0..``limit`` from which on everything ``holds``; None if the limit fails.

    For tests that rounding makes go back and forth: between two changes of ``level``, which only
    rises or only falls, ``holds`` stays true from where it is true first. ``surely`` does so
    everywhere, and where it is true ``holds`` is true.
    """
    if limit < 0 or not holds(limit):
        return None
    high = _first(limit, surely, guess) if surely(limit) else limit
    while True:
        low = _first(high, _same(level, high), Guess(high, guess.step))
        if not holds(low):
            return _first_between(low, high, holds)
        if low == 0 or not holds(low - 1):
            return low
        high = low - 1


def _same(level: Callable[[int], int], high: int) -> Test:
    here = level(high)
    return lambda at: level(at) == here


def _first(limit: int, holds: Test, guess: Guess) -> int:
    """Return the first of 0..``limit`` that holds, where the limit does."""
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
    return _first_between(low, high, holds)


def _first_between(low: int, high: int, holds: Test) -> int:
    """Return the first that holds, where ``low`` does not and ``high`` does."""
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
