"""Choice of the accounts of a head that are planned together, and the end of planning."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from keeper.domain.opportunity import Window
from keeper.domain.units import Gas
from keeper.stages.considering import Unplanned
from keeper.strategy.portions import NO_GAS, Portion

BLOCK_SHARE: Final = 0.5
"""Share of a block's time after which no new portion is started."""


class Chooser(Protocol):
    """Chooses the accounts of a head's portions."""

    def choose(self, number: int, waiting: Unplanned, window: Window, size: int) -> Portion | None:
        """Choose the portion of a number among the unplanned accounts. None ends the planning."""
        ...

    def undo(self, number: int) -> None:
        """Forget a portion that could not be planned."""
        ...


@dataclass(frozen=True, slots=True)
class Everybody:
    """Chooses all accounts at once, for modes that send nothing or have one portion."""

    def choose(self, number: int, waiting: Unplanned, window: Window, size: int) -> Portion | None:  # noqa: ARG002 (the port's)
        """Choose all unplanned accounts."""
        return waiting.take_all() if len(waiting) else None

    def undo(self, number: int) -> None:
        """Do nothing, since there is a single portion."""


@dataclass(slots=True, kw_only=True)
class ByWorth:
    """Chooses a given number of accounts, the most promising ones first.

    After ``seconds`` no further portion is started, and the remaining accounts are planned with the
    next head. ``gas_ahead`` returns the gas of the transactions in flight before the first portion.
    """

    seconds: float
    clock: Callable[[], float] = time.monotonic
    gas_ahead: Callable[[], Gas] = lambda: NO_GAS
    _since: float = 0.0
    _gas_ahead: Gas = NO_GAS

    def choose(self, number: int, waiting: Unplanned, window: Window, size: int) -> Portion | None:
        """Choose the most promising accounts. None after the time, or if no more can be sent."""
        if not number:
            self._since, self._gas_ahead = self.clock(), self.gas_ahead()
        if not (size and len(waiting)) or self.clock() - self._since > self.seconds:
            return None
        portion = waiting.choose(size, window)
        return replace(portion, is_bounded=True, gas_ahead=self._gas_ahead)

    def undo(self, number: int) -> None:
        """Do nothing, since no number is used twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Repeats the recorded choices. ``numbers`` holds the portions requested so far."""

    portions: Sequence[Portion]
    numbers: list[int] = field(default_factory=list)

    def choose(self, number: int, waiting: Unplanned, window: Window, size: int) -> Portion | None:  # noqa: ARG002 (the port's)
        """Choose the recorded portion of a number."""
        self.numbers.append(number)
        if number >= len(self.portions):
            return None
        portion = self.portions[number]
        waiting.take(portion.subjects)
        return portion

    def undo(self, number: int) -> None:
        """Do nothing, since an unplannable portion is not recorded."""
