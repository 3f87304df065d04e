"""Text formats of figures and rules of margin calls."""

from keeper.domain.wording import plural
from keeper.margin.settings import Confirms, Guard


def blocks(count: int) -> str:
    """Format a number of blocks."""
    return f"{count} {plural('block', count)}"


def percent(bps: int) -> str:
    """Format basis points as a percentage."""
    return f"{bps // 100:,}.{bps % 100:02} %"


def method(guard: Guard, one: Confirms) -> str:
    """Describe the condition that a confirmation method waits for."""
    return {
        Confirms.BLOCKS: blocks(guard.blocks),
        Confirms.SECONDS: f"{guard.seconds} s",
        Confirms.WINDOW: f"the prices of {guard.window_seconds} s",
        Confirms.SECOND_SOURCE: "a second source",
    }[one]
