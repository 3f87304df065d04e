"""Figures in words that every part of the keeper uses alike."""

from datetime import UTC, datetime

from keeper.domain.units import WAD

_SHOWN = 10_000


def health(factor: int) -> str:
    """Return a health factor with four decimals, rounded down: never better than it is."""
    tenths = factor * _SHOWN // WAD
    return f"{tenths // _SHOWN:,}.{tenths % _SHOWN:04}"


def moment(when: int) -> str:
    """Return a time of the chain's clock in UTC."""
    return datetime.fromtimestamp(when, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
