"""
Accounts and markets whose last transaction was a defect are left alone for a while.

The longer, the more often they fail. A lost race or a market that moved leaves nobody alone: the
account is sized anew in the next block.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from keeper.domain.decision import SkipReason
from keeper.domain.failure import FailureKind, classify_failure
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.restraint import Wait
from keeper.domain.submission import Inclusion, Submission
from keeper.domain.units import MarketKey, deployment

DOUBLINGS: Final = 6
"""How often the time doubles before it stays as it is."""

K = TypeVar("K")


@dataclass(slots=True, kw_only=True)
class Cooling:
    """
    Who failed for a defect, in which block, and how often in a row.

    After the n-th failure an account waits ``blocks`` times 2**(n - 1) blocks; 0 never waits. So
    does the whole of an isolated market, whose makers are anybody: its token or oracle may work
    in simulations only, and its next account would fail alike.
    """

    blocks: int = 0
    _failed: dict[Subject, tuple[int, int]] = field(default_factory=dict)
    _markets: dict[MarketKey, tuple[int, int]] = field(default_factory=dict)

    def note(self, inclusion: Inclusion) -> None:
        """Note what became of each plan of a mined transaction."""
        for plan in inclusion.plans:
            subject, market = (plan.market, plan.account), plan.market
            if not plan.failure:
                self._failed.pop(subject, None)
                self._markets.pop(market, None)
            elif classify_failure(plan.failure) is FailureKind.DEFECT:
                _count(self._failed, subject, inclusion.block_number)
                if deployment(market) != market:
                    _count(self._markets, market, inclusion.block_number)

    def take_up(self, mined: Iterable[Submission]) -> None:
        """Note what an earlier process saw, oldest first."""
        for one in mined:
            if one.inclusion is not None:
                self.note(one.inclusion)

    def market_waits(self, head: Head) -> Mapping[MarketKey, Wait]:
        """Return the isolated markets that are to be left alone at a block."""
        found: dict[MarketKey, Wait] = {}
        for market, (block, times) in self._markets.items():
            until = self._until(block, times)
            if head.number < until:
                found[market] = Wait(
                    reason=SkipReason.COOLING_DOWN,
                    detail=f"what worked in simulation failed on chain in this market in block"
                    f" {block}, {times} in a row: left alone until block {until}",
                    until_block=until,
                )
        return found

    def _until(self, block: int, times: int) -> int:
        return block + (self.blocks << min(times - 1, DOUBLINGS))

    def waits(self, head: Head) -> Mapping[Subject, Wait]:
        """Return who is to be left alone at a block."""
        found: dict[Subject, Wait] = {}
        for subject, (block, times) in self._failed.items():
            until = self._until(block, times)
            if head.number < until:
                found[subject] = Wait(
                    reason=SkipReason.COOLING_DOWN,
                    detail=f"it failed on chain in block {block}, {times} in a row:"
                    f" left alone until block {until}",
                    until_block=until,
                )
        return found


def _count(failed: dict[K, tuple[int, int]], key: K, block: int) -> None:
    _, before = failed.get(key, (0, 0))
    failed[key] = (block, before + 1)
