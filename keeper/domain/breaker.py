"""Circuit breakers and the transaction costs that their limits count. Both survive a restart."""

import enum
from dataclasses import dataclass
from typing import Final

from keeper.domain.units import Timestamp, Wei

PROBE: Final = "probe"
"""What closes the breaker of defects for one transaction; the journal keeps the word."""


class Breaker(enum.StrEnum):
    """A switch that holds new transactions while it is open. Its name is stable."""

    REVERTS = "reverts"  # too many defects in a row; closes for one probing transaction at a time
    RACES_PER_HOUR = "races_per_hour"  # lost races cost too much; closes when the hour has passed
    GAS_PER_HOUR = "gas_per_hour"  # closes when the hour has passed
    GAS_PER_DAY = "gas_per_day"  # closes when the day has passed
    PAUSED = "paused"  # an operator's own
    FINALITY = "finality"  # what was final is gone; closed by an operator, or by the chain


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Cost of one mined transaction of the keeper, at its block's time.

    ``reverted`` is True for a defect, False for a success, and None if it says nothing about the
    plans (a lost race, a moved market, a cancelled transaction, or one ordered by an operator).
    ``lost_race`` marks a revert without a defect.
    """

    nonce: int
    block_number: int
    timestamp: Timestamp
    cost: Wei
    reverted: bool | None
    lost_race: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBreaker:
    """An open breaker with its time, its reason and the possible cost of the held transaction."""

    name: Breaker
    detail: str
    block_number: int
    timestamp: Timestamp
    wanted: Wei = Wei(0)  # noqa: RUF009 (an integer)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """Stored state of one breaker.

    ``settled_through`` is the newest nonce that an operator's reset or a probe excluded from
    counting, -1 if none. ``probes`` counts consecutive closings for a probe. An operator's reset
    sets it to 0.
    """

    name: Breaker
    open: OpenBreaker | None = None
    settled_through: int = -1
    probes: int = 0
