"""Computes the pause until the next poll of the head, short when a block is due. Pure."""

from collections.abc import Collection
from statistics import median
from typing import Final

QUICKER: Final = 10
"""How many times as often as usual a node is asked while a block is due."""
LEAST_PAUSE: Final = 0.025
POLLS_PER_BLOCK: Final = 10
"""About so often a node is asked during one block of a chain that always has one due."""
KNOWN_GAPS: Final = 4
"""Of so many blocks the times must be known before one is taken to be due."""


def poll_pause(interval: float, gaps: Collection[float], since: float) -> float:
    """Return the seconds until the next poll, at most ``interval``.

    ``gaps`` are the seconds between the newest heads, ``since`` those since the newest one. A block
    is due from half an interval before the usual gap has passed until two intervals after it, and
    again a gap later if it was missed. If blocks are hardly further apart than that, the node is
    polled a few times per block.
    """
    if len(gaps) < KNOWN_GAPS:
        return interval
    gap = median(gaps)
    quick = min(interval, max(LEAST_PAUSE, interval / QUICKER))
    early, late = interval / 2, 2 * interval
    if gap <= early + late:
        return min(interval, max(quick, gap / POLLS_PER_BLOCK))
    passed = since % gap
    if since >= gap and passed <= late:
        return quick
    return min(interval, max(quick, gap - early - passed))
