"""What limits are counted from, and the switches that they throw; both outlive a process."""

import enum
from dataclasses import dataclass
from typing import Final

from keeper.domain.units import Timestamp, Wei

PROBE: Final = "probe"
"""What closes the breaker of defects for one transaction; the journal keeps the word."""


class Breaker(enum.StrEnum):
    """A switch that holds new transactions while it is open; stable, since people name them."""

    REVERTS = "reverts"  # too many defects in a row; closes for one probing transaction at a time
    RACES_PER_HOUR = "races_per_hour"  # lost races cost too much; closes when the hour has passed
    GAS_PER_HOUR = "gas_per_hour"  # closes when the hour has passed
    GAS_PER_DAY = "gas_per_day"  # closes when the day has passed
    PAUSED = "paused"  # an operator's own
    FINALITY = "finality"  # what was final is gone; closed by an operator, or by the chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """
    What one mined transaction of ours cost, at its block's time.

    ``reverted`` is True for a defect, False for a success, and None where it says nothing about
    our plans: a lost race, a market that moved, a cancelled transaction, or one that a person
    ordered. ``lost_race`` is one that reverted for no defect.
    """

    nonce: int
    block_number: int
    timestamp: Timestamp
    cost: Wei
    reverted: bool | None
    lost_race: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreaker:
    """A breaker that is open: since when, why, and what the transaction it held might have cost."""

    name: Breaker
    detail: str
    block_number: int
    timestamp: Timestamp
    wanted: Wei = Wei(0)  # noqa: RUF009 (an integer)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """
    One breaker as it is kept.

    ``settled_through`` is the newest nonce that an operator's reset, or a probe, forgave; -1 is
    none. ``probes`` counts how often in a row it was closed for a probe, the newest times last;
    an operator's reset ends the row.
    """

    name: Breaker
    open: OpenBreaker | None = None
    settled_through: int = -1
    probes: int = 0
