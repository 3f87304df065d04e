"""
Who has to be looked at: floats pass over all accounts, the rules see those for whom it matters.

An account stays as it is while its health is between the thresholds of its standing. Whoever
may have left them, by the screen's proven bound, and whoever waits for something, is looked at.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from keeper.columns.words import Flags, Floats
from keeper.domain.units import WAD
from keeper.margin.settings import SEVERITY, MarginSettings
from keeper.margin.state import Standing
from keeper.risk.tiers import Tier

ABOVE: Final = 1 + 1e-6
"""How much more than its bound an account's health is at most, with much room."""
EVERYTHING: Final = np.inf
_NOBODY: Final = Standing()


class Attention:
    """By row: between which healths nothing changes, and who is looked at in any case."""

    def __init__(self, settings: MarginSettings, count: int) -> None:
        self._settings = settings
        self._bounds = {tier: _bounds(settings, tier) for tier in SEVERITY}
        self._floor = np.full(count, self._bounds[Tier.HEALTHY][0])
        self._ceiling = np.full(count, EVERYTHING)
        self._busy = np.zeros(count, dtype=np.bool_)

    @property
    def waits(self) -> bool:
        """Whether anybody waits for the next block."""
        return bool(self._busy.any())

    def wanted(self, least: Floats) -> Flags:
        """Return who has to be looked at, given what each one's health is at least."""
        inside = (least >= self._floor * ABOVE) & (least * ABOVE < self._ceiling)
        return self._busy | ~(inside | np.isinf(least))

    def stand(self, standings: Mapping[int, Standing | None]) -> None:
        """Note what is remembered of accounts after they were looked at."""
        known = [_NOBODY if one is None else one for one in standings.values()]
        rows, bounds = list(standings), [self._bounds[one.tier] for one in known]
        self._floor[rows] = [floor for floor, _ in bounds]
        self._ceiling[rows] = [ceiling for _, ceiling in bounds]
        self._busy[rows] = [self._waits(one) for one in known]

    def gone(self, rows: Iterable[int]) -> None:
        """Look at these next time, whatever their health: they were acted upon."""
        self._busy[list(rows)] = True

    def _waits(self, standing: Standing) -> bool:
        """Whether time alone may change something."""
        if standing.out is not None:
            return True
        enough = self._settings.guard.blocks
        return any(one.count < enough for one in standing.breaches.values())


def _bounds(settings: MarginSettings, tier: Tier) -> tuple[float, float]:
    """Return between which healths an account stays in a tier."""
    bands = settings.tiers.bands
    worse = [one.enter / WAD for one in bands if SEVERITY[one.tier] > SEVERITY[tier]]
    leave = [one.leave / WAD for one in bands if one.tier is tier]
    return max(worse, default=0.0), max(leave, default=EVERYTHING)
