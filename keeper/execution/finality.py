"""How deep is deep enough: the chain's own word where it has one, a depth where it has none."""

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from keeper.domain.errors import ChainError, RpcMalformed, RpcRefused
from keeper.domain.head import Head
from keeper.domain.units import BlockHash
from keeper.execution.chain import SeesForks, canonical_head

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

    async def head(self, block: int | BlockHash | None = None) -> Head:
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
    def is_by_depth(self) -> bool:
        """Whether the number of confirmations decides, since no node names a final block."""
        return self._by_depth

    def forget(self) -> None:
        """Take whatever the chain calls final from now on."""
        self.known, self._asked_at = None, None
        self._changed = self._older = ""

    @property
    def violated(self) -> str:
        """Why nothing that was called final can be relied on; empty while it can."""
        return self._changed or self._older  # mutation: F16 final-block-changed

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
                await self._ask(is_suspicious=is_suspicious)
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

    async def _ask(self, *, is_suspicious: bool) -> None:
        self._take_note()
        found = await self._found()
        if found is None:
            self._untold += 1
            is_gone = self.known is None or self._untold >= GONE_AFTER_ASKS
            if is_gone and not self._by_depth:
                self._by_depth = True
                log.warning("finality_by_depth reason=%s", "no node tells a finalized block")
            if is_suspicious:
                await self._compare(None)
            return
        self._by_depth, self._untold = False, 0
        if await self._compare(found) and (self.known is None or found.number > self.known.number):
            self.known = found

    async def _compare(self, found: Head | None) -> bool:
        """Hold the newest block that was final against the chain; False where it is another one."""
        before = self.known
        if before is None:
            return True
        if found is None or found.number != before.number:
            current = await canonical_head(self.chain, before.number)
        else:
            current = found
        is_same = current.hash == before.hash
        told = f"block {before.number} was final, and is not the chain's any more"
        self._changed = "" if is_same else told
        return is_same

    def _take_note(self) -> None:
        """Know what an endpoint called final meanwhile: it is noted without being asked for."""
        noted = self.chain.noted_finalized if isinstance(self.chain, SeesForks) else None
        if noted is not None and (self.known is None or noted.number > self.known.number):
            self.known = noted

    async def _found(self) -> Head | None:
        try:
            return await self.chain.finalized()
        except (RpcRefused, RpcMalformed):
            return None
