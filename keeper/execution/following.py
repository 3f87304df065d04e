"""Looking after what was sent, beside the work on blocks: it may hang, and holds nothing up."""

import asyncio
import logging
from dataclasses import dataclass

from keeper.domain.errors import ChainError, JournalError, SubmissionError
from keeper.domain.head import Head
from keeper.execution.replacing import StillUnhealthy
from keeper.ports import Submitter

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Following:
    """
    A submitter's following of its transactions, one look at a time.

    A look is waited for ``seconds`` at most and then goes on by itself. ``tasks`` is where it
    runs, so that what ends the keeper ends it at once. ``unkept`` is the journal's last failure.
    """

    submitter: Submitter
    seconds: float
    tasks: asyncio.TaskGroup | None = None
    unkept: JournalError | None = None
    _look: asyncio.Task[None] | None = None

    async def look(self, head: Head, still_unhealthy: StillUnhealthy) -> None:
        """
        Have what was sent followed; one that still runs is left to its end, and not waited for.

        Raises:
            ForeignKeyUse: a nonce of this key was used by somebody else.
        """
        if self._look is not None and not self._look.done():
            return
        work = self._contained(head, still_unhealthy)
        begin = asyncio.create_task if self.tasks is None else self.tasks.create_task
        self._look = begin(work, name="follow-sent")
        done, _ = await asyncio.wait({self._look}, timeout=self.seconds)
        if done:
            await self._look
        else:
            log.warning("follow_slow block=%d", head.number)

    async def end(self) -> None:
        """End the look that runs; the next start goes on with it."""
        if self._look is not None and not self._look.done():
            await asyncio.wait({self._look}, timeout=self.seconds)
            self._look.cancel()

    async def _contained(self, head: Head, still_unhealthy: StillUnhealthy) -> None:
        try:
            await self.submitter.follow(head, still_unhealthy)
        except (ChainError, SubmissionError, JournalError) as error:
            if isinstance(error, JournalError):
                self.unkept = error
            log.warning("follow_failed block=%d code=%s reason=%s", head.number, error.code, error)
