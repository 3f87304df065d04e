"""Copy-on-write history of overwritten rows, stored as long as a view needs it."""

from dataclasses import dataclass, field

import numpy as np

from keeper.columns.block import Block
from keeper.columns.words import Flags, Rows

Saved = tuple[Rows, Block]
"""Rows in ascending order, with their contents."""


@dataclass(slots=True, weakref_slot=True, eq=False)
class Version:
    """A state of the columns, as the contents of rows overwritten since.

    The first of several contents of a row belongs to this version. Rows overwritten after the next
    version began are stored there. Only views hold versions, and each version holds the next one,
    so unused ones are freed.
    """

    saved: list[Saved] = field(default_factory=list)
    next: "Version | None" = None

    def all_saved(self) -> list[Saved]:
        """Return everything stored since this version, oldest first."""
        found, at = list[Saved](), self
        while True:
            found += at.saved
            if at.next is None:
                return found
            at = at.next

    def overwritten(self) -> Rows:
        """Return the rows changed since this version, in ascending order."""
        saved = [rows for rows, _ in self.all_saved()]
        return np.unique(np.concatenate(saved)) if saved else np.zeros(0, dtype=np.int64)


def places(rows: Rows, wanted: Rows) -> tuple[Rows, Flags]:
    """Return each sought row's position among ``rows`` (ascending), and whether it is there."""
    at = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return at, rows[at] == wanted
