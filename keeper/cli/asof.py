"""Age of an answer from a keeper's file, by its newest block, and whether a keeper runs on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from keeper.cli.records import read_record
from keeper.clock import wall
from keeper.domain import wording
from keeper.execution.control import is_listening
from keeper.storage.pulse import Pulse, pulse

SKEW_SECONDS: Final = 60
"""How far ahead of this machine's clock a block may be and still count as new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """The newest block in a keeper's file, and whether a keeper runs on the file now.

    ``pulse`` is None if no block is in the file. ``now`` is Unix seconds.
    """

    pulse: Pulse | None
    running: bool
    now: int

    @property
    def age_seconds(self) -> int | None:
        """The time since the newest block was read, by the machine's clock if known.

        None if there is none, or if it is ahead of this machine's clock.
        """
        if self.pulse is None:
            return None
        seen = self.pulse.seen_at
        age = self.now - (self.pulse.timestamp if seen is None else seen)
        return None if age < -SKEW_SECONDS else max(0, age)

    @property
    def document(self) -> dict[str, object]:
        """The JSON document."""
        return {
            "block_number": None if self.pulse is None else self.pulse.number,
            "timestamp": None if self.pulse is None else self.pulse.timestamp,
            "age_seconds": self.age_seconds,
            "running": self.running,
        }

    @property
    def line(self) -> str:
        """The text for people."""
        keeper = "a keeper is running" if self.running else "no keeper is running"
        if self.pulse is None:
            return f"as of no block: none is in the file yet; {keeper}"
        age, moment = self.age_seconds, wording.moment(self.pulse.timestamp)
        if age is None:
            past = "ahead of this machine's clock"
        else:
            past = f"{'' if self._is_read_in_time else 'read '}{wording.span(age)} ago"
        return f"as of block {self.pulse.number} ({moment}), {past}; {keeper}"

    @property
    def _is_read_in_time(self) -> bool:
        """Whether the block was new when it was read, so that both have one age."""
        if self.pulse is None or self.pulse.seen_at is None:
            return True
        return abs(self.pulse.seen_at - self.pulse.timestamp) <= SKEW_SECONDS


def learn_as_of(path: Path) -> AsOf:
    """Read the age of a journal's data.

    Raises:
        JournalError: there is no journal.
    """
    return as_of(path, read_record(path, pulse))


def as_of(path: Path, found: Pulse | None) -> AsOf:
    """Build the age from a newest block that was read already."""
    return AsOf(pulse=found, running=is_listening(path), now=int(wall()))
