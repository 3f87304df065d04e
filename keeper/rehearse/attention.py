"""Selection of the accounts to evaluate, by a float pass over all of them.

An account keeps its state while its health stays between the thresholds of its tier. Accounts that
may have left them, by the screen's proven bound, and those waiting for time are evaluated exactly.
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
"""Upper bound of the ratio between an account's health and its lower bound, with a margin."""
EVERYTHING: Final = np.inf
_EMPTY_STATE: Final = Standing()


class Attention:
    """Per row, the health bounds of the current tier, and the rows to evaluate in any case."""

    def __init__(self, settings: MarginSettings, count: int) -> None:
        self._settings = settings
        self._bounds = {tier: _compute_bounds(settings, tier) for tier in SEVERITY}
        self._floor = np.full(count, self._bounds[Tier.HEALTHY][0])
        self._ceiling = np.full(count, EVERYTHING)
        self._busy = np.zeros(count, dtype=np.bool_)

    @property
    def waits(self) -> bool:
        """Whether an account waits for the next block."""
        return bool(self._busy.any())

    def wanted(self, least: Floats) -> Flags:
        """Select the accounts to evaluate, given lower bounds of their healths."""
        inside = (least >= self._floor * ABOVE) & (least * ABOVE < self._ceiling)
        return self._busy | ~(inside | np.isinf(least))

    def stand(self, standings: Mapping[int, Standing | None]) -> None:
        """Update the bounds of accounts after their evaluation."""
        known = [_EMPTY_STATE if one is None else one for one in standings.values()]
        rows, bounds = list(standings), [self._bounds[one.tier] for one in known]
        self._floor[rows] = [floor for floor, _ in bounds]
        self._ceiling[rows] = [ceiling for _, ceiling in bounds]
        self._busy[rows] = [self._is_waiting(one) for one in known]

    def gone(self, rows: Iterable[int]) -> None:
        """Mark accounts that were acted upon for evaluation in the next block."""
        self._busy[list(rows)] = True

    def _is_waiting(self, standing: Standing) -> bool:
        """Whether time alone may change the account's state."""
        if standing.out is not None:
            return True
        enough = self._settings.guard.blocks
        return any(one.count < enough for one in standing.breaches.values())


def _compute_bounds(settings: MarginSettings, tier: Tier) -> tuple[float, float]:
    """Return the health bounds within which an account stays in a tier."""
    bands = settings.tiers.bands
    worse = [one.enter / WAD for one in bands if SEVERITY[one.tier] > SEVERITY[tier]]
    leave = [one.leave / WAD for one in bands if one.tier is tier]
    return max(worse, default=0.0), max(leave, default=EVERYTHING)
