"""Length of block ranges, adapted to a node's refusals and answers."""

import re
from dataclasses import dataclass
from typing import Final

MOST_PATIENCE: Final = 64
"""The most answers of one size before a longer range is tried again."""

_SUGGESTED: Final = re.compile(r"\[\s*(0x[0-9a-f]+)\s*,\s*(0x[0-9a-f]+)\s*\]")
_NUMBER: Final = re.compile(r"(?<![0-9a-fx])(\d[\d,]*)\s*(k\b)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Window sizes in blocks. ``in_flight`` windows are requested at once.

    ``outage`` is the number of seconds that a long scan waits for a silent node.
    """

    first: int = 10_000
    most: int = 500_000
    in_flight: int = 4
    outage: float = 60.0


class Pace:
    """The length of the next window, in blocks.

    Doubles after answers, halves after refusals. It stays longer after more refusals.
    """

    def __init__(self, windows: Windows) -> None:
        self.length = windows.first
        self._most = windows.most
        self._patience = 1
        self._calm = 0

    def answered(self, length: int) -> None:
        """Record that a window of this length was answered in full."""
        if length < self.length:
            return
        self._calm += 1
        if self._calm >= self._patience:
            self.length, self._calm = min(self._most, 2 * self.length), 0

    def refused(self, length: int, named: int | None = None) -> int:
        """Record that a window was too long, and return the length for its parts."""
        smaller = max(1, named or length // 2)
        self.length, self._calm = min(self.length, smaller), 0
        self._patience = min(MOST_PATIENCE, 2 * self._patience)
        return smaller


def named_limit(text: str, length: int) -> int | None:
    """Parse the length in a refusal of ``length`` blocks, if it states one.

    Providers write "Try with this block range [0x1, 0xff]", "up to a 2K block range", "limited to 0
    - 50 blocks" and the like.
    """
    said = text.lower()
    suggested = _SUGGESTED.search(said)
    if suggested is not None:
        first, last = (int(each, 16) for each in suggested.groups())
        return last - first + 1 if 0 <= last - first < length - 1 else None
    named = [
        int(digits.replace(",", "")) * (1_000 if thousands else 1)
        for digits, thousands in _NUMBER.findall(said)
    ]
    return max((each for each in named if 1 < each < length), default=None)
