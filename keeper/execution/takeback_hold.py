"""Breaker that holds signing while a final block is replaced."""

from dataclasses import dataclass

from keeper.domain.breaker import Breaker
from keeper.domain.head import Head
from keeper.execution.guard import Guard, finality_broken
from keeper.execution.tracker import Tracker


@dataclass(slots=True, kw_only=True)
class TakebackHold:
    """Opens the breaker ``finality`` while the tracker reports a violation.

    It closes if the chain has the final block again while this process lives, else by an operator's
    reset.
    """

    tracker: Tracker
    _seen: bool = False

    async def hold(self, guard: Guard, head: Head) -> None:
        """Open or close the breaker after the newest observation.

        Raises:
            JournalError: it could not be persisted.
        """
        violation = self.tracker.takebacks.violation
        if violation:
            await guard.hold(finality_broken(violation, head), head)
        elif self._seen and guard.is_open(Breaker.FINALITY):
            await guard.release(Breaker.FINALITY, "the chain has what was final again", head)
        self._seen = bool(violation)

    def accept(self) -> None:
        """Accept the present chain after an operator has closed the breaker."""
        self.tracker.accept_chain()
        self._seen = False
