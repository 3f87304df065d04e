"""Where each way of running keeps its file: what one tells or counts is nothing to the others."""

from pathlib import Path
from typing import Final

MODES: Final = ("live", "dry-run", "observe")
"""The ways of running, as ``keeper.app.Mode`` names them."""


def file_of(journal: Path, mode: str) -> Path:
    """Return the file of a mode: the journal itself, or one beside it."""
    if mode == MODES[0]:
        return journal
    return journal.with_name(f"{journal.stem}.{mode}{journal.suffix}")
