"""What rows held before they were overwritten, kept for as long as somebody looks at it."""

from dataclasses import dataclass, field

import numpy as np

from keeper.columns.block import Block
from keeper.columns.words import Flags, Rows

Saved = tuple[Rows, Block]
"""Rows in ascending order, and what they held."""


@dataclass(slots=True, weakref_slot=True, eq=False)
class Version:
    """
    A state of the columns: what it had in rows that were overwritten since.

    Of several things kept of one row, the first is what this version shows. What was overwritten
    after the next version began is kept there. Nothing but a view holds a version, and
    each version the next one: what nobody looks at any more is gone.
    """

    saved: list[Saved] = field(default_factory=list)
    next: "Version | None" = None

    def all_saved(self) -> list[Saved]:
        """Return everything kept since this version, the oldest first."""
        found, at = list[Saved](), self
        while True:
            found += at.saved
            if at.next is None:
                return found
            at = at.next

    def overwritten(self) -> Rows:
        """Return the rows that are not what they were, in ascending order."""
        saved = [rows for rows, _ in self.all_saved()]
        return np.unique(np.concatenate(saved)) if saved else np.zeros(0, dtype=np.int64)


def places(rows: Rows, wanted: Rows) -> tuple[Rows, Flags]:
    """Return where each wanted row is among ``rows`` (ascending), and whether it is there."""
    at = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return at, rows[at] == wanted
