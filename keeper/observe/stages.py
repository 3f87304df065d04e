"""Stages of a block's work, reported to an observer."""

import enum
from collections.abc import Sequence
from typing import Protocol

from keeper.domain.errors import ChainError
from keeper.domain.head import Head
from keeper.ports import MarketSnapshot


class Stage(enum.StrEnum):
    """Progress of a block's work."""

    HEAD = "head"  # the head arrived
    TAKEN = "taken"  # its work began
    READ = "read"  # every readable market was read
    DECIDED = "decided"  # every liquidatable account has a decision
    SUBMITTED = "submitted"  # its transactions were sent
    RECORDED = "recorded"  # its decisions are stored


class Watch(Protocol):
    """Observer of a node's progress, without any answer.

    Stages are marked while a transaction waits, so that must be cheap.
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
    """An observer that ignores everything."""

    def passed(self, stage: Stage, head: Head) -> None:
        """Do nothing."""

    def done(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Do nothing."""

    def skipped(self, head: Head, error: ChainError) -> None:
        """Do nothing."""
