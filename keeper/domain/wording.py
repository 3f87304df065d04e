"""Common text formats of figures."""

from datetime import UTC, datetime
from typing import Final

from keeper.domain.units import WAD

_SHOWN: Final = 10_000
MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400


def health(factor: int) -> str:
    """Return a health factor with four decimals, rounded down."""
    tenths = factor * _SHOWN // WAD
    return f"{tenths // _SHOWN:,}.{tenths % _SHOWN:04}"


def health_ceil(factor: int) -> str:
    """Return a health factor with four decimals, rounded up."""
    return health(-(-factor * _SHOWN // WAD) * (WAD // _SHOWN))


def moment(when: int) -> str:
    """Return a block timestamp in UTC."""
    return datetime.fromtimestamp(when, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(seconds: int) -> str:
    """Return a duration in its two largest units."""
    if seconds < MINUTE:
        return f"{max(seconds, 0)} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE} min"
    if seconds < DAY:
        return f"{seconds // HOUR} h {seconds % HOUR // MINUTE} min"
    return f"{seconds // DAY} d {seconds % DAY // HOUR} h"


def hours(seconds: int) -> str:
    """Return a duration in hours and minutes, rounded down, for columns."""
    return f"{seconds // HOUR} h {seconds % HOUR // MINUTE:02} min"


def plural(noun: str, count: int) -> str:
    """Return a noun in the form for a count."""
    return noun if count == 1 else f"{noun}s"
