"""A market's price and totals at one timestamp as factors of collateral and borrow shares.

Both sides are in loan units. The tolerances exceed every rounding of the exact rules. Those round
the maximum debt down twice, and the debt up once.
"""

import math
from typing import Final

import numpy as np

from keeper.columns.block import Codes
from keeper.columns.screen import Factors
from keeper.columns.words import Flags
from keeper.domain.units import UINT256_MAX, WAD, Wad
from keeper.protocols.morpho_blue.accounts import Role
from keeper.protocols.morpho_blue.model import OraclePrice, State
from keeper.protocols.morpho_blue.rules import ORACLE_PRICE_SCALE, VIRTUAL_ASSETS, VIRTUAL_SHARES

ROUNDED_OFF: Final = 4.0
"""Loan units."""

_COUNTABLE: Final = 1 - 1e-9
"""So near to the most that the contract can count, the exact rules say whether it still can."""


def factors(
    state: State, price: OraclePrice | None, lltv: Wad, codes: Codes
) -> tuple[Factors, Flags]:
    """Return the factor of each code. With ``price`` None no account can be valued."""
    weight = float(lltv) / WAD / ORACLE_PRICE_SCALE
    owed = (state.borrow_assets + VIRTUAL_ASSETS) / (state.borrow_shares + VIRTUAL_SHARES)
    by_role = {
        Role.COLLATERAL: math.nan if price is None else float(price) * weight,
        Role.DEBT: math.nan if price is None else -owed,
    }
    by_code = np.array([by_role.get(Role(key[2]), 0.0) if key[2] else 0.0 for key in codes.keys])
    return (
        Factors(
            by_code=by_code,
            rounded_off=ROUNDED_OFF,
            most_backed=UINT256_MAX * weight * _COUNTABLE,
        ),
        np.isnan(by_code),
    )
