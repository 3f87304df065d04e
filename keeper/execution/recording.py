"""Whether the journal can be written: without it nothing is signed, and watching goes on."""

import logging
from dataclasses import dataclass

from keeper.domain.errors import JournalError
from keeper.execution.tracker import Tracker

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Recording:
    """The journal of a tracker; ``fault`` is why it cannot be written, empty while it can."""

    tracker: Tracker
    fault: str = ""

    def note_failure(self, error: JournalError) -> None:
        """Have nothing signed from now on, until the journal can be written again."""
        self.fault = str(error)  # mutation: G30 journal-fault
        log.error("journal_failed reason=%s", error)

    async def is_working(self) -> bool:
        """Whether the journal can be written; after a fault, what it holds is what there is."""
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
        """Take every nonce that is not final from the journal."""
        found = await self.tracker.journal.open_submissions()
        self.tracker.book = {one.nonce: one for one in found}
