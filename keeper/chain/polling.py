"""How long until an endpoint is asked for its head again: soon where a block is due. Pure."""

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
    """
    Return the seconds until the next question, ``interval`` at most.

    ``gaps`` are the seconds between the newest heads, ``since`` those since the newest came. A
    block is due from half an interval before the usual gap has passed until two intervals after
    it, and again a gap later where it was missed. A chain whose blocks are hardly further apart
    than that is asked a few times per block.
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
