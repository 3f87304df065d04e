"""Histogram of debt by health factor, with bars for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.units import WAD

EDGES: Final = tuple(
    WAD * percent // 100
    for percent in (50, 80, 90, 95, 100, 103, 105, 110, 115, 120, 125, 150, 200, 300)
)
"""Health factors between the buckets, wad; a bucket holds its lower edge."""

BAR: Final = 40
"""Characters of the longest bar."""
_USD: Final = 10**8
_HUNDREDTH: Final = WAD // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A range of health factors with its accounts and their debt. ``high`` None is open."""

    low: int
    high: int | None
    accounts: int
    debt_usd_e8: int

    @property
    def name(self) -> str:
        """The display name of the range."""
        if self.high is None:
            return f"{_format_edge(self.low)} and more"
        return f"{_format_edge(self.low)} - {_format_edge(self.high)}"


def distribution(rows: Iterable[tuple[int, int]]) -> Sequence[Bucket]:
    """Return the buckets from (health factor, debt in 1e-8 dollars), lowest first."""
    counts, debts = [0] * (len(EDGES) + 1), [0] * (len(EDGES) + 1)
    for health, debt in rows:
        at = sum(health >= edge for edge in EDGES)
        counts[at] += 1
        debts[at] += debt
    return [
        Bucket(
            low=EDGES[at - 1] if at else 0,
            high=EDGES[at] if at < len(EDGES) else None,
            accounts=counts[at],
            debt_usd_e8=debts[at],
        )
        for at in range(len(EDGES) + 1)
    ]


def bar_rows(buckets: Sequence[Bucket]) -> list[tuple[str, str, str, str]]:
    """Return health, accounts, debt and bar of each bucket. Small debts get a thin bar."""
    most = max((one.debt_usd_e8 for one in buckets), default=0)
    return [
        (
            one.name,
            str(one.accounts),
            f"{one.debt_usd_e8 // _USD:,}",
            "█" * (one.debt_usd_e8 * BAR // most) or "▏" if one.debt_usd_e8 else "",
        )
        for one in buckets
    ]


def by_name(buckets: Sequence[Bucket]) -> Mapping[str, float]:
    """Return the debt of each bucket in dollars, by name, for a plot."""
    return {one.name: one.debt_usd_e8 / _USD for one in buckets}


def _format_edge(health: int) -> str:
    whole, part = divmod(health // _HUNDREDTH, 100)
    return f"{whole}.{part:02}"
