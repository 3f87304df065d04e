"""
Whether the endpoints tell the same chain: what each said of a height, held side by side.

Pure but for what it remembers. Equal hashes at one height mean equal chains up to it, so
only the highest height that two endpoints both spoke of counts.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.head import Head
from keeper.domain.units import BlockHash

REMEMBERED: Final = 256
"""Heights remembered of each endpoint."""
HELD_SECONDS: Final = 30.0
"""A contradiction that nobody met again for so long is over: what it was about is past."""


class Sightings:
    """The blocks that one endpoint called canonical, by their number; the oldest give way."""

    def __init__(self) -> None:
        self._hashes: dict[int, BlockHash] = {}
        self.head: Head | None = None

    def saw(self, head: Head) -> None:
        """Take a head; what was known above it, and what it does not build on, is gone."""
        known = self._hashes
        for number in [one for one in known if one >= head.number]:
            del known[number]
        parent = head.number - 1
        if known.get(parent, head.parent_hash) != head.parent_hash:
            known.clear()
        if parent >= 0:
            known[parent] = head.parent_hash
        known[head.number] = head.hash
        while len(known) > REMEMBERED:
            del known[min(known)]
        self.head = head

    def at(self, number: int) -> BlockHash | None:
        """Return the block it called canonical at a height; None if it never spoke of it."""
        return self._hashes.get(number)

    def forget(self) -> None:
        """Forget everything, as of an endpoint that turned out to serve another chain."""
        self._hashes.clear()
        self.head = None

    def contradiction(self, other: "Sightings") -> int | None:
        """Return the height at which two endpoints are on different chains; None if they agree."""
        for number in sorted(self._hashes, reverse=True):
            theirs = other.at(number)
            if theirs is not None:
                return number if theirs != self._hashes[number] else None
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """What two endpoints say differently: of a head, a nonce, a receipt, a finalized block."""

    what: str
    detail: str
    over: bool = False


@dataclass(slots=True, kw_only=True)
class Disagreements:
    """
    Those that stand, by what they are about; ``told`` is called when one begins or ends.

    ``counts`` is how many began, by kind.
    """

    clock: Callable[[], float]
    told: Callable[[Disagreement], None]
    counts: Counter[str] = field(default_factory=Counter)
    _standing: dict[tuple[str, str], tuple[str, float | None]] = field(default_factory=dict)

    def found(self, what: str, about: str, detail: str, *, lasting: bool = False) -> None:
        """Note a contradiction; a ``lasting`` one stands until it is settled."""
        key = (what, about)
        new = key not in self._standing
        self._standing[key] = (detail, None if lasting else self.clock() + HELD_SECONDS)
        if new:
            self.counts[what] += 1
            self.told(Disagreement(what=what, detail=detail))

    def settled(self, what: str, about: str) -> None:
        """Note that there is none about this, or none any more."""
        found = self._standing.pop((what, about), None)
        if found is not None:
            self.told(Disagreement(what=what, detail=found[0], over=True))

    def lasting(self) -> Sequence[str]:
        """Return what stands until it is settled: asking again would not help."""
        return [
            _line(what, detail) for (what, _), (detail, ends) in self._standing.items() if not ends
        ]

    def reasons(self) -> Sequence[str]:
        """Return what stands, one line each."""
        now = self.clock()
        for what, about in [
            key for key, (_, ends) in self._standing.items() if ends is not None and ends <= now
        ]:
            self.settled(what, about)
        return [_line(what, detail) for (what, _), (detail, _) in self._standing.items()]


def _line(what: str, detail: str) -> str:
    return f"endpoints disagree on {what}: {detail}"
