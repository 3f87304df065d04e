"""
The time of day by this machine: the only place where it is read.

It may jump, to either side, at any moment: it is set by hand, by NTP, after a pause of the
virtual machine. What must not follow such a jump is measured by ``time.monotonic`` or by the
chain's own time.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

_source: Callable[[], float] = time.time


def wall() -> float:
    """Return the time of day in Unix seconds."""
    return _source()


def utc_now() -> datetime:
    """Return the time of day in UTC."""
    return datetime.fromtimestamp(wall(), tz=UTC)
