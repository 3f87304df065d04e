"""What a node tells about its progress, to whoever watches: the stages of a block's work."""

import enum
from collections.abc import Sequence
from typing import Protocol

from keeper.domain.errors import ChainError
from keeper.domain.head import Head
from keeper.ports import MarketSnapshot


class Stage(enum.StrEnum):
    """How far a block's work is."""

    HEAD = "head"  # it arrived
    TAKEN = "taken"  # its work began
    READ = "read"  # every readable market was read at it
    DECIDED = "decided"  # every unhealthy account has its answer
    SUBMITTED = "submitted"  # transactions have left for it
    RECORDED = "recorded"  # its decisions are kept


class Watch(Protocol):
    """
    Takes notice and answers nothing.

    ``passed`` is called while a transaction is waited for: it must cost next to nothing.
    """

    def passed(self, stage: Stage, head: Head) -> None:
        """Note that a stage was reached, now."""
        ...

    def done(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Note that a block was worked on to the end, and how it found the markets."""
        ...

    def skipped(self, head: Head, error: ChainError) -> None:
        """Note that a block could not be read."""
        ...


class Unwatched:
    """A ``Watch`` that nobody looks through."""

    def passed(self, stage: Stage, head: Head) -> None:
        """Do nothing."""

    def done(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Do nothing."""

    def skipped(self, head: Head, error: ChainError) -> None:
        """Do nothing."""
