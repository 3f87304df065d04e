"""How deep is deep enough: the chain's own word where it has one, a depth where it has none."""

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from keeper.domain.errors import ChainError, RpcMalformed, RpcRefused
from keeper.domain.head import Head

log = logging.getLogger(__name__)

ASK_AGAIN_BLOCKS: Final = 8
"""How often the finalized block is asked for while something waits for it."""
GONE_AFTER_ASKS: Final = 2
"""A node that told a finalized block has lost the tag if it told none so often in a row."""
LOOK_AGAIN_BLOCKS: Final = 64
"""How often it is looked at while nothing waits."""
NOTHING_FINAL: Final = -1


class FinalityReads(Protocol):
    """The reads of it; each may raise ``ChainError``."""

    async def head(self, block: int | None = None) -> Head:
        """Return a block's header."""
        ...

    async def finalized(self) -> Head | None:
        """Return the newest finalized block; None where the node knows no such tag."""
        ...


@dataclass(slots=True, kw_only=True)
class Finality:
    """
    What is final on a chain.

    ``known`` is the newest block that the chain called final. Where it, or the head, contradicts
    that, there is no ground left to sign on.
    """

    chain: FinalityReads
    known: Head | None = None
    _asked_at: int | None = None
    _by_depth: bool = False
    _untold: int = 0
    _changed: str = ""
    _older: str = ""

    @property
    def changed(self) -> str:
        """Which block was final and is another one now; empty where none is."""
        return self._changed

    @property
    def violated(self) -> str:
        """Why nothing that was called final can be relied on; empty while it can."""
        return self._changed or self._older

    async def through(
        self, head: Head, *, waiting: bool, is_suspicious: bool = False
    ) -> int | None:
        """
        Return the newest final block's number; None where only depth can tell.

        It is what was known before where the node does not answer now. A node that has lost
        the tag leaves it to the depth. ``waiting``: something would become final by it.
        ``is_suspicious``: blocks were taken back, so ask now.
        """
        if is_suspicious or self._is_due(head, waiting=waiting):
            self._asked_at = head.number
            try:
                await self._ask()
            except ChainError as error:
                log.info("finality_unknown block=%d reason=%s", head.number, error)
        if self.known is not None:
            known, number = self.known.number, head.number
            older = f"block {number} is older than the finalized block {known}"
            self._older = older if number < known else ""
            if not self._by_depth:
                return known
        return None if self._by_depth else NOTHING_FINAL

    def _is_due(self, head: Head, *, waiting: bool) -> bool:
        every = ASK_AGAIN_BLOCKS if waiting or self.violated else LOOK_AGAIN_BLOCKS
        at = self._asked_at
        return at is None or not at <= head.number < at + every

    async def _ask(self) -> None:
        found = await self._found()
        if found is None:
            self._untold += 1
            is_gone = self.known is None or self._untold >= GONE_AFTER_ASKS
            if is_gone and not self._by_depth:
                self._by_depth = True
                log.warning("finality_by_depth reason=%s", "no node tells a finalized block")
            return
        self._by_depth, self._untold = False, 0
        before = self.known
        if before is not None and await self._hash_at(before.number, found) != before.hash:
            self._changed = f"block {before.number} was final, and is not the chain's any more"
            log.error("finality_violated block=%d hash=%s", before.number, before.hash)
            return
        self._changed = ""
        if before is None or found.number >= before.number:
            self.known = found

    async def _found(self) -> Head | None:
        try:
            return await self.chain.finalized()
        except (RpcRefused, RpcMalformed):
            return None

    async def _hash_at(self, number: int, found: Head) -> str:
        return found.hash if found.number == number else (await self.chain.head(number)).hash
