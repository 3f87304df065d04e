"""Chain time compared with this machine's clock, for accepted blocks and deadlines."""

import time
from collections.abc import Callable

from keeper.clock import wall
from keeper.config import Settings
from keeper.domain.head import Head
from keeper.domain.units import Timestamp
from keeper.execution.signer import LOCAL_CHAINS
from keeper.observe.health import CLOCK_PATIENCE, patience, too_old, untimely

Clock = Callable[[], float]


def untimely_reason(
    settings: Settings, clock: Clock = wall, monotonic: Clock = time.monotonic
) -> Callable[[Head], str]:
    """Build the check that a block is neither too old nor too far ahead to act on.

    A local chain's time is not compared.
    """
    if settings.chain.id in LOCAL_CHAINS:
        return lambda _: ""
    return Timeliness(_compute_patience(settings), clock, monotonic)


class Timeliness:
    """Compares blocks with this machine's clock, detecting a clock that was set back.

    A clock that was set back makes old blocks look new. It agreed with the chain before, so the
    monotonic time since then shows the difference.
    """

    def __init__(self, limit: float, clock: Clock, monotonic: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._monotonic = monotonic
        self._agreed: tuple[float, float] | None = None

    def __call__(self, head: Head) -> str:
        """Return why a block is not acted on. Empty if it is."""
        now, moment = self._clock(), self._monotonic()
        reason = untimely(head, self._limit, now)
        if not reason and self._agreed is not None:
            agreed, since = self._agreed
            unset = agreed + moment - since
            if unset - now > CLOCK_PATIENCE:  # mutation: G14 clock-set-back
                reason = too_old(head, self._limit, unset)
        if not reason:
            self._agreed = now, moment
        return reason


def bound_timestamp(
    settings: Settings, head: Head, claimed: int | None, clock: Clock = wall
) -> Timestamp:
    """Return the next block's expected time, from a node's claim of the pending block's.

    It is after the newest block, and no further ahead of this machine's clock than an accepted
    block may be, since deadlines count from it.
    """
    earliest = head.timestamp + 1
    expected = earliest if claimed is None else max(claimed, earliest)
    if settings.chain.id in LOCAL_CHAINS:
        return Timestamp(expected)
    latest = int(clock() + _compute_patience(settings) + CLOCK_PATIENCE)
    return Timestamp(max(earliest, min(expected, latest)))


def _compute_patience(settings: Settings) -> float:
    return patience(settings.chain.block_time_ms / 1000, settings.observe.late_after_blocks)


def block_seconds(settings: Settings) -> int:
    """Compute the expected seconds from the newest block to the next one, at least 1."""
    return max(1, settings.chain.block_time_ms // 1_000)
