"""Final blocks that were replaced, noticed at the next head, reported and held against signing.

If the chain names a final block, that block must stay. Depth is only a guess. A reorg deeper than
the confirmations is reported, its nonces are reopened, and signing goes on.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.head import Head
from keeper.domain.submission import NonceState
from keeper.domain.units import BlockHash
from keeper.execution.chain import Chain, Emit, canonical_head
from keeper.execution.finality import Finality
from keeper.execution.observation import MinedPair

log = logging.getLogger(__name__)

REMEMBERED: Final = 1_024
"""Remembered heads, for measuring the depth of a reorg."""
_HINT: Final = "compare with another node; then: keeper breaker reset finality"


@dataclass(slots=True, kw_only=True)
class TakebackWatch:
    """Notices final blocks that are no longer canonical.

    ``violation`` is why nothing may be signed until an operator, or the chain, has resolved it.
    """

    finality: Finality
    confirmations: int
    emit: Emit
    violation: str = ""
    _noticed: tuple[int, str] | None = None
    _heads: dict[int, BlockHash] = field(default_factory=dict)
    _by_chain: bool = False
    _sound: int = -1

    def remember(self, head: Head, *, is_linear: bool = True) -> None:
        """Remember a head. After a reorg only the heads found canonical remain."""
        top = head.number - 1 if is_linear else min(head.number - 1, self._sound)
        for number in [known for known in self._heads if known > top]:
            del self._heads[number]
        self._heads[head.number] = head.hash
        while len(self._heads) > REMEMBERED:
            del self._heads[min(self._heads)]

    async def depth_taken_back(self, chain: Chain, head: Head) -> int:
        """Return the least number of replaced blocks if above ``confirmations``, else 0.

        Raises:
            ChainError: the block that decides could not be read.
        """
        newest = max(self._heads, default=0)
        deepest = min(newest - self.confirmations, head.number)
        deep = [number for number in self._heads if number <= deepest]
        if not deep:
            self._sound = -1
            return 0
        number = max(deep)
        self._sound = -1
        block = head if number == head.number else await canonical_head(chain, number)
        if block.hash != self._heads[number]:
            return newest - number + 1
        self._sound = number
        return 0

    def judge(self, head: Head, depth: int, gone: Sequence[MinedPair]) -> None:
        """Update the violation after an observation. ``gone`` are the reverted nonces."""
        changed = self.finality.changed
        lost = [one.nonce for one, _ in gone if one.state is NonceState.FINAL]
        if changed or (lost and not self.finality.is_by_depth):
            if not self.violation:
                listed = f"nonces {lost} were final, and no block has them any more"
                self._by_chain = bool(changed)
                self.violation = changed or listed
                self._report(head, "violated", self.violation, lost)
        elif self.violation and self._by_chain:
            told, self.violation = self.violation, ""
            self._report(head, "restored", f"no longer so: {told}", lost)
        elif depth or lost:
            many = f"at least {depth}" if depth else "final"
            told = f"{many} blocks were taken back at block {head.number}"
            detail = f"{told}; policy.confirmations is {self.confirmations}"
            self._noticed = (head.number, detail)
            self._report(head, "taken_back", detail, lost)

    def concern(self) -> str:
        """Describe the last deep reorg until as many new blocks as the confirmations have come."""
        if self.violation:
            return self.violation
        newest = max(self._heads, default=0)
        if self._noticed is None or newest >= self._noticed[0] + self.confirmations:
            return ""
        return self._noticed[1]

    def accept(self) -> None:
        """Accept the present chain after an operator has resolved the violation."""
        self.violation = ""
        self._noticed = None
        self.finality.forget()

    def _report(self, head: Head, state: str, detail: str, reopened: Sequence[int]) -> None:
        level = logging.WARNING if state == "restored" else logging.CRITICAL
        log.log(
            level,
            "finality_%s block=%d reason=%s reopened=%s hint=%s",
            state,
            head.number,
            detail,
            list(reopened),
            _HINT if state == "violated" else "none",
        )
        self.emit(
            {
                "event": "finality",
                "state": state,
                "detail": detail,
                "held": state == "violated",
                "reopened": list(reopened),
                "block_number": head.number,
                "block_hash": head.hash,
            }
        )
