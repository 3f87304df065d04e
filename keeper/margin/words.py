"""Figures and rules of margin calls in words, for people."""

from datetime import UTC, datetime
from typing import Final

from keeper.margin.settings import Confirms, Guard

_DIGITS: Final = 18
_SHOWN: Final = 4


def health(factor: int) -> str:
    """Return a health factor with four decimals, rounded down: never better than it is."""
    digits = str(factor).rjust(_DIGITS + 1, "0")
    return f"{digits[:-_DIGITS]}.{digits[-_DIGITS : _SHOWN - _DIGITS]}"


def moment(when: int) -> str:
    """Return a time of the chain's clock in UTC."""
    return datetime.fromtimestamp(when, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def blocks(count: int) -> str:
    """Return so many blocks."""
    return f"{count} block{'' if count == 1 else 's'}"


def percent(bps: int) -> str:
    """Return hundredths of a percent as percent."""
    return f"{bps // 100:,}.{bps % 100:02} %"


def method(guard: Guard, one: Confirms) -> str:
    """Return what a method of the guard waits for."""
    return {
        Confirms.BLOCKS: blocks(guard.blocks),
        Confirms.SECONDS: f"{guard.seconds} s",
        Confirms.WINDOW: f"the prices of {guard.window_seconds} s",
        Confirms.SECOND_SOURCE: "a second source",
    }[one]
