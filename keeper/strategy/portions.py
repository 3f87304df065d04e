"""Portions in which a head's accounts are planned, so that the first leave before the last."""

from dataclasses import dataclass
from typing import Final

from keeper.domain.parity import Subject
from keeper.domain.units import Gas

NO_GAS: Final = Gas(0)
FIRST: Final = 6
"""Accounts of the first portion of many: their transaction leaves while the rest is sized."""
LEAST_SPARE: Final = 3
"""Transactions that must be left beside the first portion's, or there is no first portion."""
TRANSACTIONS: Final = (1, 1, 4)
"""Transactions that the first portions fill; the next one fills all that are left."""
LOOKAHEAD: Final = 4
"""How many times a portion's accounts are looked at closely to find the portion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """
    Accounts that are planned together, and how many others wait for a later portion.

    ``is_bounded`` is set where no more transactions are made than may wait for a block, and
    ``gas_ahead`` is what those take that wait already.
    """

    subjects: tuple[Subject, ...]
    rest: int
    is_bounded: bool = False
    gas_ahead: Gas = NO_GAS
