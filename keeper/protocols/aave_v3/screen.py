"""A pool's prices, indices and thresholds at one timestamp as factors of scaled balances.

The tolerances here exceed every rounding of the exact rules. A balance's is covered by the unit
that the columns' floats allow (an index is never below one), a value's by ``rounded_off``, and up
to 3.4 the average threshold's by lowering each threshold by one basis point.
"""

import math
from typing import Final

import numpy as np

from keeper.columns.block import Codes
from keeper.columns.screen import Factors
from keeper.columns.words import Flags
from keeper.domain.units import BPS, RAY
from keeper.protocols.aave_v3.accounts import Role
from keeper.protocols.aave_v3.position import Clock, Unpriced

ROUNDED_OFF: Final = 4.0
"""Base units that an account's totals may be off by, besides two for each leg."""

_COUNTS: Final = {Role.COLLATERAL, Role.DEBT}
_UNTOLD: Final = {
    Role.STABLE,
    Role.UNREAD_COLLATERAL,
    Role.UNREAD_DEBT,
    Role.UNREAD_BOTH,
}
"""What the exact rules alone can tell: a rate of the account's own, a balance not known yet."""


def factors(clock: Clock, codes: Codes) -> tuple[Factors, Flags]:
    """Return the factor of each code, and the codes without a price."""
    by_code = np.zeros(len(codes.keys))
    unpriced = np.zeros(len(codes.keys), dtype=np.bool_)
    for code, (category, at, role) in enumerate(codes.keys):
        if at not in clock.pool.reserves or role not in _COUNTS | _UNTOLD:
            continue  # the pool passes over what it dropped, and over what is not flagged
        if role in _UNTOLD:
            by_code[code] = math.nan
            continue
        try:
            by_code[code] = _compute_factor(clock, at, category, role)
        except Unpriced:
            by_code[code], unpriced[code] = math.nan, True
    legs = 2 * len(clock.pool.reserves)
    return Factors(by_code=by_code, rounded_off=ROUNDED_OFF + 2 * legs), unpriced


def _compute_factor(clock: Clock, at: int, category: int, role: int) -> float:
    """Return base units per scaled unit, weighted for collateral and negative for debt.

    Raises:
        Unpriced: the price that the pool would read failed.
    """
    one, (supply, debt) = clock.weighed(at, category), clock.indices(at)
    if min(supply, debt) < RAY:
        return math.nan  # no pool has that; a unit of a balance would not cover its rounding
    worth = float(one.price) / float(one.unit)
    if role == Role.DEBT:
        return -(float(debt) / RAY * worth)
    if not one.backs:
        return 0.0
    if not clock.pool.structure.rules.directed_rounding:
        if one.threshold == 0:
            return math.nan  # it lowers the average, which no factor of its own can say
        return float(supply) / RAY * worth * ((one.threshold - 1) / BPS)
    return float(supply) / RAY * worth * (one.threshold / BPS)
