"""Stages of a block's work, reported to an observer."""

import enum
from collections.abc import Sequence
from typing import Protocol

from keeper.domain.errors import ChainError
from keeper.domain.head import Head
from keeper.ports import MarketSnapshot


class Stage(enum.StrEnum):
    """Progress of a block's work."""

    HEAD = "head"  # it arrived
    TAKEN = "taken"  # its work began
    READ = "read"  # every readable market was read at it
    DECIDED = "decided"  # every unhealthy account has its answer
    SUBMITTED = "submitted"  # transactions have left for it
    RECORDED = "recorded"  # its decisions are kept


class Watch(Protocol):
    """Observer of a node's progress, without any answer.

    ``passed`` is called while a transaction waits, so it must be cheap.
    """

    def passed(self, stage: Stage, head: Head) -> None:
        """Note that a stage is reached now."""
        ...

    def done(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Note that a block is completely processed, with its snapshots."""
        ...

    def skipped(self, head: Head, error: ChainError) -> None:
        """Note that a block could not be read."""
        ...


class Unwatched:
    """A ``Watch`` that ignores everything."""

    def passed(self, stage: Stage, head: Head) -> None:
        """Do nothing."""

    def done(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Do nothing."""

    def skipped(self, head: Head, error: ChainError) -> None:
        """Do nothing."""
