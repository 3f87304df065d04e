"""The chain's time against this machine's clock: which blocks are acted on, and until when."""

import time
from collections.abc import Callable

from keeper.config import Settings
from keeper.domain.head import Head
from keeper.domain.units import Timestamp
from keeper.execution.signer import LOCAL_CHAINS
from keeper.observe.health import CLOCK_PATIENCE, patience, untimely

Clock = Callable[[], float]


def untimely_reason(settings: Settings, clock: Clock = time.time) -> Callable[[Head], str]:
    """
    Return what says that a block is too old, or too far ahead, to be acted on.

    A local chain's time is its own.
    """
    if settings.chain.id in LOCAL_CHAINS:
        return lambda _: ""
    limit = _patience(settings)
    return lambda head: untimely(head, limit, clock())


def bound_timestamp(
    settings: Settings, head: Head, claimed: int | None, clock: Clock = time.time
) -> Timestamp:
    """
    Return when the next block is expected, by a node's claim of the pending block's time.

    It is after the newest block, and no further ahead of this machine's clock than a block may
    be that is acted on: deadlines count from it.
    """
    earliest = head.timestamp + 1
    expected = earliest if claimed is None else max(claimed, earliest)
    if settings.chain.id in LOCAL_CHAINS:
        return Timestamp(expected)
    latest = int(clock() + _patience(settings) + CLOCK_PATIENCE)
    return Timestamp(max(earliest, min(expected, latest)))


def _patience(settings: Settings) -> float:
    return patience(settings.chain.block_time_ms / 1000, settings.observe.late_after_blocks)
