"""How old an answer from a keeper's file is: its newest block, and whether a keeper runs on it."""

from dataclasses import dataclass
from pathlib import Path

from keeper.cli.records import read_record
from keeper.clock import wall
from keeper.domain import wording
from keeper.execution.control import is_listening
from keeper.storage.pulse import Pulse, pulse


@dataclass(frozen=True, slots=True, kw_only=True)
class AsOf:
    """
    The newest block in a keeper's file, and whether a keeper runs on the file at this moment.

    ``pulse`` is None where no block is in the file; ``now`` is Unix seconds.
    """

    pulse: Pulse | None
    running: bool
    now: int

    @property
    def age_seconds(self) -> int | None:
        """For how long the newest block has been the newest, by the machine's clock if known."""
        if self.pulse is None:
            return None
        seen = self.pulse.seen_at
        return max(0, self.now - (self.pulse.timestamp if seen is None else seen))

    @property
    def document(self) -> dict[str, object]:
        """The same for scripts."""
        return {
            "block_number": None if self.pulse is None else self.pulse.number,
            "timestamp": None if self.pulse is None else self.pulse.timestamp,
            "age_seconds": self.age_seconds,
            "running": self.running,
        }

    @property
    def line(self) -> str:
        """The same in words."""
        keeper = "a keeper is running" if self.running else "no keeper is running"
        if self.pulse is None or self.age_seconds is None:
            return f"as of no block: none is in the file yet; {keeper}"
        read = wording.span(self.age_seconds)
        moment = wording.moment(self.pulse.timestamp)
        return f"as of block {self.pulse.number} ({moment}), {read} ago; {keeper}"


def learn_as_of(path: Path) -> AsOf:
    """
    Return how old what a journal says is.

    Raises:
        JournalError: there is no journal.
    """
    return as_of(path, read_record(path, pulse))


def as_of(path: Path, found: Pulse | None) -> AsOf:
    """Return the same of what was read of the file already."""
    return AsOf(pulse=found, running=is_listening(path), now=int(wall()))
