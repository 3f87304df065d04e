"""Health of the journal. While it cannot be written nothing is signed, and observing goes on."""

import logging
from dataclasses import dataclass

from keeper.domain.errors import JournalError
from keeper.execution.tracker import Tracker

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Recording:
    """Health of a tracker's journal. ``fault`` is why it cannot be written, else empty."""

    tracker: Tracker
    fault: str = ""

    def note_failure(self, error: JournalError) -> None:
        """Note a failure. Nothing is signed until the journal can be written again."""
        self.fault = str(error)  # mutation: G30 journal-fault
        log.error("journal_failed reason=%s", error)

    async def is_working(self) -> bool:
        """Return whether the journal can be written. After a fault, its nonces are loaded again."""
        if not self.fault:
            return True
        try:
            await self.tracker.journal.probe()
            await self.load()
        except JournalError as error:
            self.fault = str(error)
            return False
        log.warning("journal_works_again reason=%s", self.fault)
        self.fault = ""
        return True

    async def load(self) -> None:
        """Load every nonce that is not final from the journal."""
        found = await self.tracker.journal.open_submissions()
        self.tracker.book = {one.nonce: one for one in found}
