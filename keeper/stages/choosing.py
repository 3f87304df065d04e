"""Which accounts of a head are planned together, and when planning ends."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from keeper.domain.opportunity import Window
from keeper.domain.units import Gas
from keeper.stages.considering import Unplanned
from keeper.strategy.portions import NO_GAS, Portion

BLOCK_SHARE: Final = 0.5
"""The share of a block's time after which no new portion is begun."""


class Chooser(Protocol):
    """Chooses the accounts of a head's portions."""

    def choose(self, number: int, waiting: Unplanned, window: Window, size: int) -> Portion | None:
        """Take the portion of a number out of those that wait; None ends the planning."""
        ...

    def undo(self, number: int) -> None:
        """Forget a portion that could not be planned."""
        ...


@dataclass(frozen=True, slots=True)
class Everybody:
    """Chooses everybody at once, whatever can leave: nothing is sent, or nothing waits for it."""

    def choose(self, number: int, waiting: Unplanned, window: Window, size: int) -> Portion | None:  # noqa: ARG002 (the port's)
        """Take all that wait."""
        return waiting.take_all() if len(waiting) else None

    def undo(self, number: int) -> None:
        """Do nothing: it is the only one."""


@dataclass(slots=True, kw_only=True)
class ByWorth:
    """
    Chooses as many accounts as are asked for, the most promising ones first.

    After ``seconds`` no further portion is begun: what is left is planned with the next head.
    ``gas_ahead`` says what the transactions take that wait for a block before the first portion.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    gas_ahead: Callable[[], Gas] = lambda: NO_GAS
    _since: float = 0.0
    _gas_ahead: Gas = NO_GAS

    def choose(self, number: int, waiting: Unplanned, window: Window, size: int) -> Portion | None:
        """Take the most promising accounts; none after the time, or where no more can leave."""
        if not number:
            self._since, self._gas_ahead = self.clock(), self.gas_ahead()
        if not (size and len(waiting)) or self.clock() - self._since > self.seconds:
            return None
        portion = waiting.choose(size, window)
        return replace(portion, is_bounded=True, gas_ahead=self._gas_ahead)

    def undo(self, number: int) -> None:
        """Do nothing: no number is used twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Chooses what was chosen before; ``number`` holds the portion that was asked for last."""

    portions: Sequence[Portion]
    numbers: list[int] = field(default_factory=list)

    def choose(self, number: int, waiting: Unplanned, window: Window, size: int) -> Portion | None:  # noqa: ARG002 (the port's)
        """Take the recorded portion of that number."""
        self.numbers.append(number)
        if number >= len(self.portions):
            return None
        portion = self.portions[number]
        waiting.take(portion.subjects)
        return portion

    def undo(self, number: int) -> None:
        """Do nothing: what could not be planned is not on record."""
