"""Figures that a market's contracts keep, and what its logs say of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from keeper.domain.units import MarketKey


class Figure(NamedTuple):
    """The name of one figure: what it counts, and of which token or market, as its address."""

    what: str
    subject: str


Figures = Mapping[Figure, int]
"""The values of figures at one block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFigure:
    """
    The value that follows from an earlier value and from all logs since.

    ``slack`` is by how much roundings may be off. A figure that others can move without a log
    ``is_hint``: its change is a reason to look once more, and proves nothing.
    """

    value: int
    slack: int = 0
    is_hint: bool = False

    def agrees(self, value: int) -> bool:
        """Return whether the logs explain this value."""
        return abs(value - self.value) <= self.slack


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchNews:
    """Blocks from ``first`` on whose changes no log explains, or ``is_explained`` by now."""

    market: MarketKey
    first: int
    detail: str
    is_explained: bool = False
