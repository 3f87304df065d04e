"""Detects endpoints on different chains by the hashes that they state for the same heights.

Pure except for its state. Equal hashes at one height mean equal chains up to it, so only the
highest height that two endpoints both stated counts.
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
    """The blocks that one endpoint called canonical, by number. The oldest are dropped."""

    def __init__(self) -> None:
        self._hashes: dict[int, BlockHash] = {}
        self.head: Head | None = None

    def saw(self, head: Head) -> None:
        """Record a head. Drops known blocks above it, and those that it does not build on."""
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
        """Return the hash that the endpoint called canonical at a height. None if unknown."""
        return self._hashes.get(number)

    def forget(self) -> None:
        """Drop everything, for an endpoint that turned out to serve another chain."""
        self._hashes.clear()
        self.head = None

    def contradiction(self, other: "Sightings") -> int | None:
        """Return the height at which two endpoints are on different chains. None if they agree."""
        for number in sorted(self._hashes, reverse=True):
            theirs = other.at(number)
            if theirs is not None:
                return number if theirs != self._hashes[number] else None
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A contradiction between two endpoints about a head, nonce, receipt or finalized block."""

    what: str
    detail: str
    over: bool = False


@dataclass(slots=True, kw_only=True)
class Disagreements:
    """The open contradictions by topic. The callback gets one when it begins or ends.

    ``counts`` is the number of contradictions that began, by kind.
    """

    clock: Callable[[], float]
    told: Callable[[Disagreement], None]
    counts: Counter[str] = field(default_factory=Counter)
    _standing: dict[tuple[str, str], tuple[str, float | None]] = field(default_factory=dict)

    def found(self, what: str, about: str, detail: str, *, lasting: bool = False) -> None:
        """Record a contradiction. A ``lasting`` one stays open until it is settled."""
        key = (what, about)
        new = key not in self._standing
        self._standing[key] = (detail, None if lasting else self.clock() + HELD_SECONDS)
        if new:
            self.counts[what] += 1
            self.told(Disagreement(what=what, detail=detail))

    def settled(self, what: str, about: str) -> None:
        """Record that there is no contradiction about this, or none any more."""
        found = self._standing.pop((what, about), None)
        if found is not None:
            self.told(Disagreement(what=what, detail=found[0], over=True))

    def lasting(self) -> Sequence[str]:
        """Return the contradictions that stay open until settled, which a retry cannot resolve."""
        return [
            _format_line(what, detail)
            for (what, _), (detail, ends) in self._standing.items()
            if not ends
        ]

    def reasons(self) -> Sequence[str]:
        """Return the open contradictions, one line each."""
        now = self.clock()
        for what, about in [
            key for key, (_, ends) in self._standing.items() if ends is not None and ends <= now
        ]:
            self.settled(what, about)
        return [_format_line(what, detail) for (what, _), (detail, _) in self._standing.items()]


def _format_line(what: str, detail: str) -> str:
    return f"endpoints disagree on {what}: {detail}"
