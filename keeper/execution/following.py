"""Follows sent transactions beside the block loop, without delaying it."""

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
    """Follows a submitter's transactions, one pass at a time.

    A pass is awaited for at most ``seconds`` and then continues in the background. ``tasks`` is the
    group it runs in, so that stopping the keeper stops it at once. ``unkept`` is the journal's last
    failure.
    """

    submitter: Submitter
    seconds: float
    tasks: asyncio.TaskGroup | None = None
    unkept: JournalError | None = None
    _look: asyncio.Task[None] | None = None

    async def look(self, head: Head, still_unhealthy: StillUnhealthy) -> None:
        """Start a pass, unless the last one still runs, and await it for a limited time.

        Raises:
            ForeignKeyUse: another party used a nonce of this key.
        """
        if self._look is not None and not self._look.done():
            return
        work = self._follow_contained(head, still_unhealthy)
        begin = asyncio.create_task if self.tasks is None else self.tasks.create_task
        self._look = begin(work, name="follow-sent")
        done, _ = await asyncio.wait({self._look}, timeout=self.seconds)
        if done:
            await self._look
        else:
            log.warning("follow_slow block=%d", head.number)

    async def end(self) -> None:
        """Stop the running pass. The next start continues it."""
        if self._look is not None and not self._look.done():
            await asyncio.wait({self._look}, timeout=self.seconds)
            self._look.cancel()

    async def _follow_contained(self, head: Head, still_unhealthy: StillUnhealthy) -> None:
        try:
            await self.submitter.follow(head, still_unhealthy)
        except (ChainError, SubmissionError, JournalError) as error:
            if isinstance(error, JournalError):
                self.unkept = error
            log.warning("follow_failed block=%d code=%s reason=%s", head.number, error.code, error)
