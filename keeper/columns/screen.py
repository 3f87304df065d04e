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

    Infinite without debt; NaN where the factors say that they cannot tell.
    """
    count = len(view)
    further = _spilled(view, factors) if view.columns.spill.used else None
    least = np.empty(count)
    scratch = _Scratch(min(AT_ONCE, max(count, 1)))
    for first in range(0, count, AT_ONCE):
        part = slice(first, min(first + AT_ONCE, count))
        backed, owed = scratch.summed(view, factors, part)
        if further is not None:
            backed += further.backed[part]
            owed += further.owed[part]
        _health(backed, owed, factors, least[part])
    changed = view.overwritten()
    if len(changed):
        least[changed] = _of_rows(view, changed, factors)
    least[~view.owes()] = np.inf
    return least


@dataclass(frozen=True, slots=True)
class _Sums:
    backed: Floats
    owed: Floats


class _Scratch:
    """Memory for one part of the pass, used again for the next."""

    def __init__(self, rows: int) -> None:
        self._code = np.empty(rows, dtype=np.intp)
        self._value, self._debt, self._backed, self._owed = (np.empty(rows) for _ in range(4))

    def summed(self, view: View, factors: Factors, part: slice) -> tuple[Floats, Floats]:
        """Return weighted collateral and debt of the legs in the planes."""
        rows = part.stop - part.start
        code, value, debt = self._code[:rows], self._value[:rows], self._debt[:rows]
        backed, owed = self._backed[:rows], self._owed[:rows]
        backed.fill(0.0)
        owed.fill(0.0)
        for plane in range(view.columns.planes):
            np.copyto(code, view.columns.code[plane][part])
            np.take(factors.by_code, code, out=value, mode="clip")
            value *= view.columns.amount[plane][part]
            np.minimum(value, 0.0, out=debt)
            owed -= debt
            np.maximum(value, 0.0, out=value)
            backed += value
        return backed, owed


def _health(backed: Floats, owed: Floats, factors: Factors, out: Floats) -> None:
    """Put the quotient into ``out``, on the side of caution; infinite where nothing is owed."""
    free = owed == 0.0
    if factors.most_backed < math.inf:
        backed[backed > factors.most_backed] = math.nan
    backed -= factors.rounded_off
    owed += factors.rounded_off
    np.divide(backed, owed, out=out)
    out *= 1.0 - MARGIN
    out -= LAST_DIGITS
    out[free] = np.inf


def _spilled(view: View, factors: Factors) -> _Sums:
    """Return weighted collateral and debt of the legs in the heap, by row."""
    spill, count = view.columns.spill, len(view)
    used = slice(0, spill.used)
    ours = (spill.row[used] >= 0) & (spill.row[used] < count)
    row = spill.row[used][ours]
    value = factors.by_code[spill.code[used][ours]] * spill.amount[used][ours]
    return _by_owner(row, value, count)


def _by_owner(owner: Rows, value: Floats, count: int) -> _Sums:
    return _Sums(
        added(owner, np.maximum(value, 0.0), count), added(owner, -np.minimum(value, 0.0), count)
    )


def _of_rows(view: View, rows: Rows, factors: Factors) -> Floats:
    """Return what ``least_health`` does for these rows alone, as the view shows them."""
    block = view.block(rows)
    value = factors.by_code[block.code] * cautious(block, view.columns.codes)
    sums = _by_owner(block.owner, value, len(rows))
    least = np.empty(len(rows))
    _health(sums.backed, sums.owed, factors, least)
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
