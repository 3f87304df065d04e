"""Liveness and readiness checks, with the failing component and the reason."""

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
"""Returns a component's problem in one line, empty without one. Must not block."""

LEAST_PATIENCE: Final = 5.0
"""Minimum delay in seconds before a head is late, even on chains with short blocks."""
ENDPOINT_PATIENCE: Final = 2.0
"""Tolerated seconds of an endpoint's failure, during which reads are retried."""
CLOCK_PATIENCE: Final = 60.0
"""Tolerated seconds between a block's time and the clock, beyond a head's delay."""
SKIPPED_BLOCKS: Final = 2
"""Consecutive failed blocks that are reported."""
LEAST_FREE_BYTES: Final = 16 * 1024 * 1024
"""Free space below which the journal is likely to fail."""


@dataclass(slots=True, kw_only=True)
class Health:
    """Checks of the components by name. All pass when the keeper is ready."""

    checks: dict[str, Check] = field(default_factory=dict)

    def report(self) -> Mapping[str, str]:
        """Return each component's problem in one line without secrets, empty if healthy."""
        return {name: one_line(check()) for name, check in self.checks.items()}


def patience(block_seconds: float, blocks: int) -> float:
    """Return the seconds after which the next head is late."""
    return max(block_seconds * blocks, LEAST_PATIENCE)


def head_check(vitals: Vitals, limit: float, wall: Callable[[], float] | None) -> Check:
    """Build the check of fresh heads. ``limit`` is in seconds.

    ``wall`` is the clock that blocks' timestamps should agree with, None on a chain with a clock of
    its own.
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
    """Return the problem of a block that is too old by the clock, empty if there is none."""
    behind = now - head.timestamp
    if behind > limit + CLOCK_PATIENCE:
        return f"the newest block is {behind:.0f} s old by this machine's clock"
    return ""


def untimely(head: Head, limit: float, now: float) -> str:
    """Return the problem of a block that disagrees with the clock, empty if there is none."""
    ahead = head.timestamp - now
    if ahead > limit + CLOCK_PATIENCE:
        return f"the newest block is {ahead:.0f} s ahead of this machine's clock"
    return too_old(head, limit, now)


def work_check(vitals: Vitals, limit: float) -> Check:
    """Build the check that blocks are processed to the end, the newest within ``limit`` s.

    Consecutive failed blocks are reported at once.
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
    """Build the check that at least one of ``markets`` markets can be read.

    ``unanswered`` are markets that are unreadable because of the node. Each of them is reported.
    """

    def check() -> str:
        faults = quarantined()
        if len(faults) >= markets:
            return f"no market can be read: {_join_reasons(faults)}"
        faults = unanswered()
        return f"not read because of the node: {_join_reasons(faults)}" if faults else ""

    return check


def _join_reasons(faults: Mapping[MarketKey, str]) -> str:
    return "; ".join(f"{key}: {why}" for key, why in faults.items())


def book_check(doubted: Callable[[], int]) -> Check:
    """Build the check that compared accounts of the book agree with the contracts."""

    def check() -> str:
        count = doubted()
        return f"{count} accounts differ from the contracts' own answer" if count else ""

    return check


def joined_check(*checks: Check) -> Check:
    """Join several checks of one component."""

    def check() -> str:
        return "; ".join(filter(None, (single() for single in checks)))

    return check


def journal_check(path: Path, failing: Callable[[], bool]) -> Check:
    """Build the check that the journal can be written.

    The file must be the same as at the check's creation, with free space on its disk.
    """
    made = _read_identity(path)

    def check() -> str:
        if failing():
            return "the last commit to the journal failed"
        if made is None or _read_identity(path) != made:
            return "the journal's file is gone, or another one is in its place"
        if not os.access(path, os.W_OK):
            return "the journal's file may not be written"
        space = os.statvfs(path)
        if space.f_bavail * space.f_frsize < LEAST_FREE_BYTES:
            return "the journal's disk is full"
        return ""

    return check


def _read_identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
