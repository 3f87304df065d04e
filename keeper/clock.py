"""The time of day of this machine. All code reads it here.

It may jump in either direction at any moment (set by hand, by NTP, after a pause of the virtual
machine). Code that must not follow such a jump uses ``time.monotonic`` or the chain's own time.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

source: Callable[[], float] = time.time


def wall() -> float:
    """Return the time of day in Unix seconds."""
    return source()


def utc_now() -> datetime:
    """Return the time of day in UTC."""
    return datetime.fromtimestamp(wall(), tz=UTC)
