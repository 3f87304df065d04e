"""Screen of all accounts in one float pass, to select those for exact valuation.

The pass yields a lower bound of each account's exact health factor. Its distance to a threshold is
the account's slack, the move of prices and interest before the exact rules are needed. Accounts
without slack, and those without a bound (NaN), are valued exactly.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from keeper.columns.block import added, cautious
from keeper.columns.view import View
from keeper.columns.words import Flags, Floats, Rows

AT_ONCE: Final = 32_768
"""Rows per part, so that intermediate values stay in the processor's cache."""

MARGIN: Final = 1e-9
"""Far above the relative error of the few float operations."""

FARTHEST: Final = 1e4
"""Thresholds above this health factor are not screened."""

LAST_DIGITS: Final = 2e-18
"""Upper bound of the health factor's own rounding to a wad."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Factors:
    """A block's factors from balance to value, by leg code.

    ``by_code`` is positive for collateral (weighted), negative for debt, and NaN for legs that only
    the exact rules can value. ``rounded_off`` exceeds all roundings of an account, separately in
    its weighted collateral and in its debt. An account with more than ``most_backed`` needs the
    exact rules.
    """

    by_code: Floats
    rounded_off: float
    most_backed: float = math.inf


def least_health(view: View, factors: Factors) -> Floats:
    """Return a lower bound of each account's exact health factor (1.0 is the threshold).

    Infinite without debt, NaN where the exact rules are needed. Valid up to ``FARTHEST``, since
    sums with far more collateral than debt lose the last digits of the debt.
    """
    count = len(view)
    further = _sum_overflow(view, factors) if view.columns.spill.used else None
    least = np.empty(count)
    scratch = _ScratchMemory(min(AT_ONCE, max(count, 1)))
    for first in range(0, count, AT_ONCE):
        part = slice(first, min(first + AT_ONCE, count))
        signed, total = scratch.summed(view, factors, part)
        if further is not None:
            signed += further.signed[part]
            total += further.total[part]
        _divide_cautiously(signed, total, factors, least[part])
    changed = view.overwritten()
    if len(changed):
        least[changed] = _compute_rows(view, changed, factors)
    least[~view.owes()] = np.inf
    return least


@dataclass(frozen=True, slots=True)
class _LegSums:
    """Sums of each account's legs, as collateral minus debt and as collateral plus debt."""

    signed: Floats
    total: Floats


class _ScratchMemory:
    """Memory of one part of the pass, reused for the next."""

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


def _divide_cautiously(signed: Floats, total: Floats, factors: Factors, out: Floats) -> None:
    """Write the lower bound of the health factor into ``out``.

    A debt lost in the sums beside its collateral still counts with the possible roundings.
    """
    np.add(total, signed, out=out)  # twice the collateral
    total -= signed  # twice the debt
    too_much = out > 2.0 * factors.most_backed if factors.most_backed < math.inf else None
    out -= 2.0 * factors.rounded_off
    total += 2.0 * factors.rounded_off
    out /= total
    out *= 1.0 - MARGIN
    out -= LAST_DIGITS
    if too_much is not None:
        out[too_much] = math.nan


def _sum_overflow(view: View, factors: Factors) -> _LegSums:
    """Return the sums of the legs in the overflow, by row."""
    spill, count = view.columns.spill, len(view)
    used = slice(0, spill.used)
    ours = (spill.row[used] >= 0) & (spill.row[used] < count)
    row = spill.row[used][ours]
    value = factors.by_code[spill.code[used][ours]] * spill.amount[used][ours]
    return _LegSums(added(row, value, count), added(row, np.abs(value), count))


def _compute_rows(view: View, rows: Rows, factors: Factors) -> Floats:
    """Return the lower bounds of these rows alone, as of the view."""
    block = view.block(rows)
    value = factors.by_code[block.code] * cautious(block, view.columns.codes)
    owner, least = block.owner, np.empty(len(rows))
    signed, total = (added(owner, one, len(rows)) for one in (value, np.abs(value)))
    _divide_cautiously(signed, total, factors, least)
    return least


def below(least: Floats, line: float) -> Rows:
    """Return the rows with a bound below ``line`` or without a bound."""
    return np.flatnonzero(~(least >= line))


def slack(least: Floats, line: float = 1.0) -> Floats:
    """Return the share of its collateral's value that each account can certainly lose.

    At constant debt its exact health factor stays at or above ``line`` until then. 0 without slack.
    A rise of the debt by the factor ``1 / (1 - slack)`` is equivalent.
    """
    with np.errstate(invalid="ignore"):
        found = 1.0 - line / np.maximum(least, line)
    return np.where(np.isnan(least), 0.0, found)


def doubted(view: View, rows: Rows, marked: Flags) -> Flags:
    """Flag the rows with a leg of a marked code."""
    found = np.zeros(len(rows), dtype=np.bool_)
    at = 0
    for part, block in view.blocks(rows):
        hit = added(block.owner, marked[block.code], len(part)) > 0
        found[at : at + len(part)] = hit
        at += len(part)
    return found
