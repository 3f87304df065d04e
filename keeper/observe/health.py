"""Is it alive, is it ready, and if not: which part, and why."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from keeper.domain.head import Head
from keeper.domain.units import MarketKey
from keeper.observe.redaction import one_line
from keeper.observe.stages import Stage
from keeper.observe.vitals import Vitals

Check = Callable[[], str]
"""Says in one line what is wrong with a component; empty where nothing is. Must not wait."""

LEAST_PATIENCE: Final = 5.0
"""Seconds that a head may be late by, however short the chain's blocks are."""
ENDPOINT_PATIENCE: Final = 2.0
"""Seconds that an endpoint may fail for: reads are repeated that long."""
CLOCK_PATIENCE: Final = 60.0
"""Seconds that a block and the clock may differ by, beyond the patience with heads."""
SKIPPED_BLOCKS: Final = 2
"""So many blocks in a row that could not be worked on are no accident."""
LEAST_FREE_BYTES: Final = 16 * 1024 * 1024
"""Free space below which the journal is about to fail."""


@dataclass(slots=True, kw_only=True)
class Health:
    """The components' checks by name; readiness is that all of them pass."""

    checks: dict[str, Check] = field(default_factory=dict)

    def report(self) -> Mapping[str, str]:
        """Return what is wrong with each component, in one line without secrets; empty if well."""
        return {name: one_line(check()) for name, check in self.checks.items()}


def patience(block_seconds: float, blocks: int) -> float:
    """Return how long to wait for the next head before it is late, in seconds."""
    return max(block_seconds * blocks, LEAST_PATIENCE)


def head_check(vitals: Vitals, limit: float, wall: Callable[[], float] | None) -> Check:
    """
    Return the check of fresh heads: ``limit`` is in seconds.

    ``wall`` is the clock that the blocks' timestamps should agree with; None where a
    chain's time is its own.
    """

    def check() -> str:
        age = vitals.seconds_since_growth()
        if age is None or vitals.head is None:
            return "no block was heard of yet"
        if age > limit:
            return f"no new block for {age:.0f} s, the limit is {limit:.0f} s"
        return "" if wall is None else untimely(vitals.head, limit, wall())

    return check


def too_old(head: Head, limit: float, now: float) -> str:
    """Say that a block is of long ago by the clock: its node still synchronises, or lags."""
    behind = now - head.timestamp
    if behind > limit + CLOCK_PATIENCE:
        return f"the newest block is {behind:.0f} s old by this machine's clock"
    return ""


def untimely(head: Head, limit: float, now: float) -> str:
    """Say that a block and the clock disagree, whichever of them is wrong."""
    ahead = head.timestamp - now
    if ahead > limit + CLOCK_PATIENCE:
        return f"the newest block is {ahead:.0f} s ahead of this machine's clock"
    return too_old(head, limit, now)


def work_check(vitals: Vitals, limit: float) -> Check:
    """
    Return the check that blocks are worked on to the end, the newest not ``limit`` s ago.

    Blocks that failed one after the other are said at once.
    """

    def check() -> str:
        since, heard = vitals.seconds_since(Stage.RECORDED), vitals.seconds_since(Stage.HEAD)
        why = f": {vitals.trouble}" if vitals.trouble else ""
        if since is None:
            return f"no block was worked on to the end yet{why}"
        if vitals.skipped_in_row >= SKIPPED_BLOCKS:
            return f"{vitals.skipped_in_row} blocks in a row could not be worked on{why}"
        if heard is not None and since - heard > limit:
            return f"no block was worked on to the end for {since:.0f} s{why}"
        return ""

    return check


def markets_check(
    markets: int,
    quarantined: Callable[[], Mapping[MarketKey, str]],
    unanswered: Callable[[], Mapping[MarketKey, str]] = dict,
) -> Check:
    """
    Return the check that of so many markets one at least can be read.

    ``unanswered`` are those that cannot be read because of the node: each of them is said.
    """

    def check() -> str:
        faults = quarantined()
        if len(faults) >= markets:
            return f"no market can be read: {_reasons(faults)}"
        faults = unanswered()
        return f"not read because of the node: {_reasons(faults)}" if faults else ""

    return check


def _reasons(faults: Mapping[MarketKey, str]) -> str:
    return "; ".join(f"{key}: {why}" for key, why in faults.items())


def book_check(doubted: Callable[[], int]) -> Check:
    """Return the check that the book agrees with the contracts, as far as it was compared."""

    def check() -> str:
        count = doubted()
        return f"{count} accounts differ from the contracts' own answer" if count else ""

    return check


def joined_check(*checks: Check) -> Check:
    """Return the check of a component that several checks look at."""

    def check() -> str:
        return "; ".join(filter(None, (single() for single in checks)))

    return check


def journal_check(path: Path, failing: Callable[[], bool]) -> Check:
    """
    Return the check that the journal can be written.

    It is the file that was there when the check was made, with space left beside it.
    """
    made = _identity(path)

    def check() -> str:
        if failing():
            return "the last commit to the journal failed"
        if made is None or _identity(path) != made:
            return "the journal's file is gone, or another one is in its place"
        if not os.access(path, os.W_OK):
            return "the journal's file may not be written"
        space = os.statvfs(path)
        if space.f_bavail * space.f_frsize < LEAST_FREE_BYTES:
            return "the journal's disk is full"
        return ""

    return check


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
