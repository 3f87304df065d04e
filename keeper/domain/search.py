"""Exact searches over integers: the least amount that does what is wanted."""

from collections.abc import Callable

Test = Callable[[int], bool]


def least(limit: int, holds: Test) -> int | None:
    """
    Return the least of 0..``limit`` that ``holds``; None if not even the limit does.

    ``holds`` must stay true from where it is true first.
    """
    return _first(limit, holds) if limit >= 0 and holds(limit) else None


def least_for_good(
    limit: int, holds: Test, surely: Test, level: Callable[[int], int]
) -> int | None:
    """
    Return the least of 0..``limit`` from which on everything ``holds``; None if the limit fails.

    For tests that rounding makes go back and forth: between two changes of ``level``, which only
    rises or only falls, ``holds`` stays true from where it is true first. ``surely`` does so
    everywhere, and where it is true ``holds`` is true.
    """
    if limit < 0 or not holds(limit):
        return None
    high = _first(limit, surely) if surely(limit) else limit
    while True:
        low = _first(high, _same(level, high))
        if not holds(low):
            return _first_between(low, high, holds)
        if low == 0 or not holds(low - 1):
            return low
        high = low - 1


def _same(level: Callable[[int], int], high: int) -> Test:
    here = level(high)
    return lambda at: level(at) == here


def _first(limit: int, holds: Test) -> int:
    """Return the first of 0..``limit`` that holds, where the limit does."""
    return 0 if holds(0) else _first_between(0, limit, holds)


def _first_between(low: int, high: int, holds: Test) -> int:
    """Return the first that holds, where ``low`` does not and ``high`` does."""
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
