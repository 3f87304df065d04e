"""An account that failed on chain is left alone for a while, the longer the more often."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.decision import SkipReason
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.restraint import Wait
from keeper.domain.submission import Inclusion, Submission

DOUBLINGS: Final = 6
"""How often the time doubles before it stays as it is."""


@dataclass(slots=True, kw_only=True)
class Cooling:
    """
    Who failed, in which block, and how often in a row.

    After the n-th failure an account waits ``blocks`` times 2**(n - 1) blocks; 0 never waits. A
    front-runner that repays one wei at a time costs a revert each time, not one a block.
    """

    blocks: int = 0
    _failed: dict[Subject, tuple[int, int]] = field(default_factory=dict)

    def note(self, inclusion: Inclusion) -> None:
        """Note what became of each plan of a mined transaction."""
        for one in inclusion.plans:
            subject = (one.market, one.account)
            if one.failure:
                _, before = self._failed.get(subject, (0, 0))
                self._failed[subject] = (inclusion.block_number, before + 1)
            else:
                self._failed.pop(subject, None)

    def take_up(self, mined: Iterable[Submission]) -> None:
        """Note what an earlier process saw, oldest first."""
        for one in mined:
            if one.inclusion is not None:
                self.note(one.inclusion)

    def waits(self, head: Head) -> Mapping[Subject, Wait]:
        """Return who is to be left alone at a block."""
        found: dict[Subject, Wait] = {}
        for subject, (block, times) in self._failed.items():
            until = block + self.blocks * 2 ** min(times - 1, DOUBLINGS)
            if self.blocks and head.number < until:
                found[subject] = Wait(
                    reason=SkipReason.COOLING_DOWN,
                    detail=f"it failed on chain in block {block}, {times} in a row:"
                    f" left alone until block {until}",
                    until_block=until,
                )
        return found
