"""
One pass over all accounts: floats nominate, integers decide.

The pass gives for each account a health factor that its exact one is certainly not below. How far
that is above a line is the account's slack: the move of prices and interest that it takes before
the exact rules have to be asked. Whoever's slack is used up is asked about exactly, and so
is whoever cannot be told at all (NaN).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.columns.block import added, cautious
from keeper.columns.view import View
from keeper.columns.words import Flags, Floats, Rows

AT_ONCE: Final = 32_768
"""Rows worked on at a time, so that what lies between stays in the processor's cache."""

MARGIN: Final = 1e-9
"""Far above the relative error of the few float operations."""

FARTHEST: Final = 1e4
"""Lines above this health factor are not screened."""

LAST_DIGITS: Final = 2e-18
"""What the health factor's own rounding to a wad can take off, with room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """
    What a block's prices, indices and weights make of a balance, by the code of its leg.

    ``by_code`` is positive for what backs (weighted), negative for what is owed, and NaN for
    what the exact rules alone can tell. ``rounded_off`` is more than all of an account's
    roundings in its weighted collateral and in its debt, each, take or add. Of an account with
    more than ``most_backed`` the exact rules alone can tell.
    """

    by_code: Floats
    rounded_off: float
    most_backed: float = math.inf


def least_health(view: View, factors: Factors) -> Floats:
    """
    Return, for each account, what its exact health factor is at least (1.0 is the line).

    Infinite without debt; NaN where the factors say that they cannot tell. Sure up to ``FARTHEST``:
    beside far more than it owes, the sums of an account lose the last digits of its debt.
    """
    count = len(view)
    further = _spilled(view, factors) if view.columns.spill.used else None
    least = np.empty(count)
    scratch = _Scratch(min(AT_ONCE, max(count, 1)))
    for first in range(0, count, AT_ONCE):
        part = slice(first, min(first + AT_ONCE, count))
        signed, total = scratch.summed(view, factors, part)
        if further is not None:
            signed += further.signed[part]
            total += further.total[part]
        _health(signed, total, factors, least[part])
    changed = view.overwritten()
    if len(changed):
        least[changed] = _of_rows(view, changed, factors)
    least[~view.owes()] = np.inf
    return least


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of each account's legs: what backs less what is owed, and both together."""

    signed: Floats
    total: Floats


class _Scratch:
    """Memory for one part of the pass, used again for the next."""

    def __init__(self, rows: int) -> None:
        self._code = np.empty(rows, dtype=np.intp)
        self._value, self._signed, self._total = (np.empty(rows) for _ in range(3))

    def summed(self, view: View, factors: Factors, part: slice) -> tuple[Floats, Floats]:
        """Return the sums of the legs in the planes."""
        rows = part.stop - part.start
        code, value = self._code[:rows], self._value[:rows]
        signed, total = self._signed[:rows], self._total[:rows]
        for plane in range(view.columns.planes):
            to = value if plane else signed
            np.copyto(code, view.columns.code[plane][part])
            np.take(factors.by_code, code, out=to, mode="clip")
            to *= view.columns.amount[plane][part]
            if plane:
                signed += value
                np.abs(value, out=value)
                total += value
            else:
                np.abs(signed, out=total)
        return signed, total


def _health(signed: Floats, total: Floats, factors: Factors, out: Floats) -> None:
    """
    Put the quotient into ``out``, on the side of caution.

    A debt that the sums lose beside what backs it still counts as what roundings can make of it.
    """
    np.add(total, signed, out=out)  # what backs, twice
    total -= signed  # what is owed, twice
    too_much = out > 2.0 * factors.most_backed if factors.most_backed < math.inf else None
    out -= 2.0 * factors.rounded_off
    total += 2.0 * factors.rounded_off
    out /= total
    out *= 1.0 - MARGIN
    out -= LAST_DIGITS
    if too_much is not None:
        out[too_much] = math.nan


def _spilled(view: View, factors: Factors) -> _Sums:
    """Return the sums of the legs in the heap, by row."""
    spill, count = view.columns.spill, len(view)
    used = slice(0, spill.used)
    ours = (spill.row[used] >= 0) & (spill.row[used] < count)
    row = spill.row[used][ours]
    value = factors.by_code[spill.code[used][ours]] * spill.amount[used][ours]
    return _Sums(added(row, value, count), added(row, np.abs(value), count))


def _of_rows(view: View, rows: Rows, factors: Factors) -> Floats:
    """Return what ``least_health`` does for these rows alone, as the view shows them."""
    block = view.block(rows)
    value = factors.by_code[block.code] * cautious(block, view.columns.codes)
    owner, least = block.owner, np.empty(len(rows))
    signed, total = (added(owner, one, len(rows)) for one in (value, np.abs(value)))
    _health(signed, total, factors, least)
    return least


def below(least: Floats, line: float) -> Rows:
    """Return the rows whose slack above ``line`` is used up, or that cannot be told."""
    return np.flatnonzero(~(least >= line))


def slack(least: Floats, line: float = 1.0) -> Floats:
    """
    Return the part of its collateral's value that each account can lose without a doubt.

    Debts standing still, its exact health factor is not below ``line`` until then; 0 where that is
    used up. A rise of what is owed by the factor ``1 / (1 - slack)`` comes to the same.
    """
    with np.errstate(invalid="ignore"):
        found = 1.0 - line / np.maximum(least, line)
    return np.where(np.isnan(least), 0.0, found)


def doubted(view: View, rows: Rows, marked: Flags) -> Flags:
    """Return which of these rows have a leg whose code is marked."""
    found = np.zeros(len(rows), dtype=np.bool_)
    at = 0
    for part, block in view.blocks(rows):
        hit = added(block.owner, marked[block.code], len(part)) > 0
        found[at : at + len(part)] = hit
        at += len(part)
    return found
