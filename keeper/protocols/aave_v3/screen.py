"""
Floats nominate the accounts that may be past the line; integers decide about those.

No account that is past the line is missed: every rounding of the exact rules is less than
what is conceded to the account here. Most accounts are far from the line, and
valuing each exactly would cost a large market more time than all the rest of a block.
"""

from typing import Final

from keeper.domain.units import BPS, RAY
from keeper.protocols.aave_v3.model import Account
from keeper.protocols.aave_v3.position import Clock, Unpriced

MARGIN: Final = 1 + 1e-9
"""Far above the relative error of the few float operations, and of the health factor's wad."""

ROUNDED_OFF: Final = 4.0
"""Base units that the exact totals may be off by, whatever the number of legs."""

_Factors = dict[int, tuple[float, float, float]]


class Screen:
    """A pool's prices, indices and thresholds at one timestamp as factors of scaled balances."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_category: dict[int, _Factors] = {}

    def nominates(self, account: Account) -> bool:
        """Whether the account may be past the line; False is certain."""
        legs = account.scaled_legs
        if legs is None:
            return True
        factors = self._by_category.get(account.category)
        if factors is None:
            factors = self._by_category[account.category] = self._factors(account.category)
        weighted, owed = 0.0, ROUNDED_OFF
        for at, supplied, borrowed in legs:
            known = factors.get(at)
            if known is None:
                return True
            weighted += supplied * known[0]
            owed += borrowed * known[1] + known[2]
        return not weighted >= owed * MARGIN

    def _factors(self, category: int) -> _Factors:
        """Return, by reserve, weighted base units per scaled supply, per debt, and rounding."""
        factors: _Factors = {}
        anyone = Account(0, category, {})
        for at, state in self._clock.pool.reserves.items():
            try:
                price, threshold, counts = self._clock.weights(at, anyone)
            except Unpriced:
                continue
            supply, debt = self._clock.indices(at)
            unit = float(state.unit)
            # Up to 3.4 the thresholds' average is rounded down to a basis point.
            weight = max(threshold - 1, 0) / BPS if counts else 0.0
            factors[at] = (
                float(supply) / RAY * price / unit * weight,
                float(debt) / RAY * price / unit,
                2 * (price / unit + 1),
            )
        return factors
