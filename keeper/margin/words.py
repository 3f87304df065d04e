"""Figures and rules of margin calls in words, for people."""

from keeper.domain.wording import plural
from keeper.margin.settings import Confirms, Guard


def blocks(count: int) -> str:
    """Return so many blocks."""
    return f"{count} {plural('block', count)}"


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
