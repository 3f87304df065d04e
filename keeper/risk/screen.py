"""Selection of the accounts below a health factor, by a float screen and exact valuation.

Most accounts are far above any threshold. Valuing each exactly would take a large market longer
than the rest of a block.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from keeper.columns.screen import FARTHEST, Factors, below, doubted, least_health
from keeper.columns.view import View
from keeper.columns.words import Flags, Floats, Rows
from keeper.domain.account import AccountHealth
from keeper.domain.units import WAD, Wad
from keeper.risk.tiers import Thresholds, Tier, tier_of


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A market's accounts at one block, with the factors of their legs.

    ``unpriced`` marks legs with a failed price. Their accounts have no health. ``exact`` returns
    the exact health of the given rows, which all have debt.
    """

    view: View
    factors: Factors
    unpriced: Flags
    exact: Callable[[Rows], Iterable[AccountHealth]]
    _tiers: dict[Thresholds, Mapping[Tier, int]] = field(default_factory=dict)

    @cached_property
    def least(self) -> Floats:
        """Lower bounds of the exact health factors (1.0 is the threshold)."""
        return least_health(self.view, self.factors)

    @cached_property
    def liquidatable(self) -> tuple[AccountHealth, ...]:
        """The liquidatable accounts, exact, worst first."""
        rows = below(self.least, 1.0)
        untold = np.isnan(self.least[rows])
        hopeless = np.zeros(len(rows), dtype=np.bool_)
        hopeless[untold] = doubted(self.view, rows[untold], self.unpriced)
        return ordered(one for one in self.exact(rows[~hopeless]) if one.liquidatable)

    def below(self, health_factor: Wad) -> tuple[AccountHealth, ...]:
        """Return accounts below a health factor, liquidatable or without a value, worst first."""
        line = max(health_factor / WAD, 1.0)
        owing = np.flatnonzero(self.view.owes()) if line > FARTHEST else None
        rows = below(self.least, line) if owing is None else owing
        return ordered(
            one
            for one in self.exact(rows)
            if one.liquidatable or one.unpriced or one.health_factor < health_factor
        )

    @property
    def debtors(self) -> int:
        """The number of accounts with debt."""
        return int(np.count_nonzero(self.view.owes()))

    def tiers(self, thresholds: Thresholds) -> Mapping[Tier, int]:
        """Return the number of accounts with debt in each tier.

        Liquidatable and unpriced accounts are exact. Others may be counted one tier too low where
        their factor exceeds a threshold by less than the screen's margin.
        """
        if thresholds not in self._tiers:
            self._tiers[thresholds] = self._count_tiers(thresholds)
        return self._tiers[thresholds]

    def _count_tiers(self, thresholds: Thresholds) -> Mapping[Tier, int]:
        counts = dict.fromkeys(Tier, 0)
        untold = np.flatnonzero(np.isnan(self.least))
        hopeless = doubted(self.view, untold, self.unpriced)
        counts[Tier.UNPRICED] = int(np.count_nonzero(hopeless))
        for one in self.exact(untold[~hopeless]):
            counts[tier_of(one, thresholds)] += 1
        worse = len(self.liquidatable)
        counts[Tier.URGENT] -= worse - counts[Tier.LIQUIDATABLE]
        counts[Tier.LIQUIDATABLE] = worse
        before = 0
        for tier, line in (
            (Tier.URGENT, thresholds.urgent),
            (Tier.CALL, thresholds.call),
            (Tier.WATCH, thresholds.watch),
        ):
            so_far = int(np.count_nonzero(self.least < line / WAD))
            counts[tier] += so_far - before
            before = so_far
        counts[Tier.HEALTHY] = self.debtors - sum(counts.values()) + counts[Tier.HEALTHY]
        return counts


def ordered(found: Iterable[AccountHealth]) -> tuple[AccountHealth, ...]:
    """Sort accounts worst first, ties by address."""
    return tuple(sorted(found, key=lambda one: (one.health_factor, one.account)))
