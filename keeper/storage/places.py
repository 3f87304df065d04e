"""Journal path per run mode. Modes share no state."""

from pathlib import Path
from typing import Final

MODES: Final = ("live", "dry-run", "observe")
"""The run modes of ``keeper.app.Mode``."""


def file_of(journal: Path, mode: str) -> Path:
    """Return a mode's file, the journal itself or one beside it."""
    if mode == MODES[0]:
        return journal
    return journal.with_name(f"{journal.stem}.{mode}{journal.suffix}")
