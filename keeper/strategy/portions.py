"""Portions of a head's accounts, planned so that the first are sent before the last."""

from dataclasses import dataclass
from typing import Final

from keeper.domain.parity import Subject
from keeper.domain.units import Gas

NO_GAS: Final = Gas(0)
FIRST: Final = 6
"""Accounts of the first of many portions, sent while the others are sized."""
LEAST_SPARE: Final = 3
"""Transactions that must remain beside the first portion's for it to be split off."""
TRANSACTIONS: Final = (1, 1, 4)
"""Transactions that the first portions fill. The next portion fills the remaining ones."""
LOOKAHEAD: Final = 4
"""Accounts checked closely to choose a portion, as a multiple of its size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """Accounts that are planned together, with the number left for later portions.

    ``is_bounded`` states that no more transactions are made than may be in flight, and
    ``gas_ahead`` is the gas of the ones in flight already.
    """

    subjects: tuple[Subject, ...]
    rest: int
    is_bounded: bool = False
    gas_ahead: Gas = NO_GAS
