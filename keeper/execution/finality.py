"""Finality, by the chain's finalized tag or by depth where no node has the tag."""

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from keeper.domain.errors import ChainError, RpcMalformed, RpcRefused
from keeper.domain.head import Head
from keeper.domain.units import BlockHash
from keeper.execution.chain import SeesForks, canonical_head

log = logging.getLogger(__name__)

ASK_AGAIN_BLOCKS: Final = 8
"""Blocks between reads of the finalized block while a nonce waits for it."""
GONE_AFTER_ASKS: Final = 2
"""Reads in a row without a finalized block after which the tag counts as lost."""
LOOK_AGAIN_BLOCKS: Final = 64
"""Blocks between reads of the finalized block while no nonce waits."""
NOTHING_FINAL: Final = -1


class FinalityReads(Protocol):
    """Reads of finality. Each may raise ``ChainError``."""

    async def head(self, block: int | BlockHash | None = None) -> Head:
        """Return a block's header."""
        ...

    async def finalized(self) -> Head | None:
        """Return the newest finalized block. None if the node does not know the tag."""
        ...


@dataclass(slots=True, kw_only=True)
class Finality:
    """Finalized block of a chain.

    ``known`` is the newest block that the chain called final. If the chain or the head contradicts
    it, nothing may be signed.
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
        """Description of a final block that was replaced. Empty if none was."""
        return self._changed

    @property
    def is_by_depth(self) -> bool:
        """Whether the number of confirmations decides, since no node names a final block."""
        return self._by_depth

    def forget(self) -> None:
        """Forget the final block and accept the chain's next one."""
        self.known, self._asked_at = None, None
        self._changed = self._older = ""

    @property
    def violated(self) -> str:
        """Reason why finality cannot be relied on. Empty while it can."""
        return self._changed or self._older  # mutation: F16 final-block-changed

    async def through(
        self, head: Head, *, waiting: bool, is_suspicious: bool = False
    ) -> int | None:
        """Return the newest final block's number. None if only depth decides.

        If the node does not answer, the last known number counts. A node that has lost the tag
        leaves it to the depth. ``waiting`` states that a nonce would become final by it.
        ``is_suspicious`` states that blocks were replaced, so that the block is read now.
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
        self._accept_noted()
        found = await self._fetch_finalized()
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
        """Compare the newest final block with the chain. False if it was replaced."""
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

    def _accept_noted(self) -> None:
        """Adopt the finalized block that an endpoint reported meanwhile."""
        noted = self.chain.noted_finalized if isinstance(self.chain, SeesForks) else None
        if noted is not None and (self.known is None or noted.number > self.known.number):
            self.known = noted

    async def _fetch_finalized(self) -> Head | None:
        try:
            return await self.chain.finalized()
        except (RpcRefused, RpcMalformed):
            return None
