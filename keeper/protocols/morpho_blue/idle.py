"""Reads the totals of markets without a known borrower, a few in each block."""

from collections.abc import Collection, Mapping
from typing import Final

from keeper.protocols.morpho_blue.model import MarketId, State

IDLE_MARKETS: Final = 64
"""Idle markets that are read in one block. More take turns."""


class IdleMarkets:
    """The totals of idle markets at their latest read.

    ``states`` has all of them, ``newest`` those that the last block read.
    """

    def __init__(self) -> None:
        self.states: dict[MarketId, State] = {}
        self.newest: Mapping[MarketId, State] = {}

    def choose(self, idle: Collection[MarketId]) -> tuple[MarketId, ...]:
        """Return the markets to read, those with debt first, then the longest unread."""
        self.states = {each: state for each, state in self.states.items() if each in idle}
        indebted = [each for each, state in self.states.items() if state.borrow_shares]
        unread = sorted({*idle} - self.states.keys())
        waiting = [*unread, *(each for each in self.states if each not in indebted)]
        return tuple(sorted({*indebted, *waiting[: max(0, IDLE_MARKETS - len(indebted))]}))

    def record(self, read: Mapping[MarketId, State]) -> None:
        """Record the totals of a block. Its markets move to the end of the queue."""
        self.newest = read
        for identity, state in read.items():
            self.states.pop(identity, None)
            self.states[identity] = state
