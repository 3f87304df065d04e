"""What limits are counted from, and the switches that they throw; both outlive a process."""

import enum
from dataclasses import dataclass

from keeper.domain.units import Timestamp, Wei


class Breaker(enum.StrEnum):
    """A switch that holds new transactions while it is open; stable, since people name them."""

    REVERTS = "reverts"  # too many transactions in a row failed; closed by an operator only
    GAS_PER_HOUR = "gas_per_hour"  # closes when the hour has passed
    GAS_PER_DAY = "gas_per_day"  # closes when the day has passed
    PAUSED = "paused"  # an operator's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """
    What one mined transaction of ours cost, at its block's time.

    ``reverted`` is None where that says nothing about liquidations: a cancelled
    transaction, or one that a person ordered.
    """

    nonce: int
    block_number: int
    timestamp: Timestamp
    cost: Wei
    reverted: bool | None


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

    ``settled_through`` is the newest nonce that an operator's reset forgave; -1 is none.
    """

    name: Breaker
    open: OpenBreaker | None = None
    settled_through: int = -1
