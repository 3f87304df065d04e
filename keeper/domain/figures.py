"""Figures that a market's contracts store, and the values that follow from its logs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from keeper.domain.units import MarketKey


class Figure(NamedTuple):
    """Name of one figure. The counted quantity, and the address of its token or market."""

    what: str
    subject: str


Figures = Mapping[Figure, int]
"""The values of figures at one block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFigure:
    """Value that follows from an earlier value and all logs since.

    ``slack`` is the tolerance for rounding. ``is_hint`` marks a figure that can change without a
    log. Its change is a reason to check again and proves nothing.
    """

    value: int
    slack: int = 0
    is_hint: bool = False

    def agrees(self, value: int) -> bool:
        """Return whether the logs explain this value."""
        return abs(value - self.value) <= self.slack


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchNews:
    """Blocks from ``first`` on with changes that no log explains.

    ``is_explained`` means that logs explain them by now.
    """

    market: MarketKey
    first: int
    detail: str
    is_explained: bool = False
