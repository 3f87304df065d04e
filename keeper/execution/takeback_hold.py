"""Signing held by a breaker while what was final is gone."""

from dataclasses import dataclass

from keeper.domain.breaker import Breaker
from keeper.domain.head import Head
from keeper.execution.guard import Guard, finality_broken
from keeper.execution.tracker import Tracker


@dataclass(slots=True, kw_only=True)
class TakebackHold:
    """
    Opens the breaker ``finality`` where the tracker says that what was final is gone.

    It closes where the chain has that again, while the process that saw it lives; else by an
    operator's reset.
    """

    tracker: Tracker
    _seen: bool = False

    async def hold(self, guard: Guard, head: Head) -> None:
        """
        Open or close the breaker, as the newest look at the chain asks for.

        Raises:
            JournalError: it could not be kept.
        """
        violation = self.tracker.takebacks.violation
        if violation:
            await guard.hold(finality_broken(violation, head), head)
        elif self._seen and guard.is_open(Breaker.FINALITY):
            await guard.release(Breaker.FINALITY, "the chain has what was final again", head)
        self._seen = bool(violation)

    def accept(self) -> None:
        """Take the chain as it is: an operator has closed the breaker."""
        self.tracker.accept_chain()
        self._seen = False
