"""Reads of the chain's state of our nonces, without changing anything.

Each nonce's own reads have a timeout and contain their errors, so that one failure delays no other
nonce.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.records import Receipt
from keeper.domain.errors import ChainError
from keeper.domain.head import Head
from keeper.domain.plan import Batch
from keeper.domain.submission import Attempt, AttemptKind, Inclusion, NonceState, Submission
from keeper.domain.units import Address, Timestamp
from keeper.execution.chain import Chain, SubmitJournal, canonical_head
from keeper.execution.finality import NOTHING_FINAL, Finality
from keeper.execution.matching import refuse_foreign
from keeper.execution.receipts import Settlement, fetch_unreceipted, settle
from keeper.execution.results import REVERTED, why_reverted

log = logging.getLogger(__name__)

DEEPEST_REORG: Final = 1_024
"""Depth, in blocks, to which final nonces are read again after a reorg."""
RECEIPT_SECONDS: Final = 4.0
"""How long the reads of one nonce may take."""
REASON_SECONDS: Final = 1.0
"""Timeout of finding out why a transaction failed, within the former."""
UNREAD_BLOCKS: Final = 3
"""Blocks for which an unreadable receipt is awaited before it is replaced by a derived one."""

MinedPair = tuple[Submission, Inclusion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """Settlement of a consumed nonce, its block's time, and the reasons of a failure."""

    settlement: Settlement
    timestamp: Timestamp
    why_reverted: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Consumed nonce with data that cannot be read now.

    ``is_ours`` states that a canonical block has one of our attempts, so that no other party used
    the nonce.
    """

    reason: str
    is_ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """State of our nonces on the chain at ``head``.

    ``gone`` are mined nonces with a block that is no longer canonical, ``final`` the ones that are
    deep enough. ``consumed`` has the state of every other consumed nonce, None if no node has a
    receipt. ``is_linear`` states that no block was replaced since the last head, ``is_complete``
    that every required block could be read. ``depth`` is the number of replaced blocks if that
    exceeds the confirmations.
    """

    head: Head
    count: int
    gone: Sequence[MinedPair]
    final: Sequence[MinedPair]
    consumed: Mapping[int, Mined | Unread | None]
    is_linear: bool
    is_complete: bool
    depth: int = 0


@dataclass(slots=True, kw_only=True)
class Observer:
    """Reads the chain's state of one key's nonces."""

    chain: Chain
    journal: SubmitJournal
    sender: Address
    finality: Finality
    confirmations: int

    async def look(
        self,
        book: Mapping[int, Submission],
        last: Head | None,
        head: Head,
        unread_since: Mapping[int, int],
    ) -> Observation:
        """Read the chain's state of the book's nonces. ``last`` is the last head observed.

        ``unread_since`` has the first block at which a nonce's receipt could not be read.

        Raises:
            ChainError: the chain could not be read.
            JournalError: the journal could not be read.
        """
        included = _list_included(book)
        deep = {
            one.nonce
            for one, inclusion in included
            if head.number >= inclusion.block_number + self.confirmations
        }
        is_linear = await self.is_linear(last, head)
        through = await self.finality.through(head, waiting=bool(deep), is_suspicious=not is_linear)
        gone, unread = list[MinedPair](), frozenset[int]()
        if not is_linear:
            finals = await self._find_reverted_final(through, last, head)
            others, unread = await self._find_reverted_included(included, head)
            gone = [*finals, *others]
        settled = deep - unread - {one.nonce for one, _ in gone}
        final = [
            (one, inclusion)
            for one, inclusion in included
            if one.nonce in settled and (through is None or inclusion.block_number <= through)
        ]
        count = await self.chain.transaction_count(self.sender)
        bound = [one for one in book.values() if one.state is NonceState.BOUND]
        consumed = [one for one in (*bound, *(pair[0] for pair in gone)) if one.nonce < count]
        reads = (
            self._read_consumed(one, head, unread_since.get(one.nonce, head.number))
            for one in consumed
        )
        found = await asyncio.gather(*reads)
        pairs = sorted(zip(consumed, found, strict=True), key=lambda pair: pair[0].nonce)
        return Observation(
            head=head,
            count=count,
            gone=gone,
            final=final,
            consumed={one.nonce: what for one, what in pairs},
            is_linear=is_linear,
            is_complete=not unread,
        )

    async def is_linear(self, last: Head | None, head: Head) -> bool:
        """Return whether no block was replaced since an observed head."""
        if last is None or head.number < last.number:
            return False
        if head.parent_hash == last.hash:
            return True
        return (await self._fetch_block(last.number, head)).hash == last.hash

    async def _read_consumed(
        self, submission: Submission, head: Head, since: int
    ) -> Mined | Unread | None:
        """Read the outcome of a consumed nonce, containing its read errors."""
        try:
            async with asyncio.timeout(RECEIPT_SECONDS):
                return await self._find_settlement(submission, head)
        except TimeoutError:
            reason = f"no answer within {RECEIPT_SECONDS:g} s"
        except ChainError as error:
            reason = str(error)
        log.warning(
            "receipt_unread nonce=%d block=%d reason=%s", submission.nonce, head.number, reason
        )
        return await self._derive_without_receipt(submission, head, since, reason)

    async def _find_settlement(self, submission: Submission, head: Head) -> Mined | Unread | None:
        """Return the settlement of the attempt that a canonical block has."""
        for attempt in reversed(submission.attempts):
            receipt = await self.chain.receipt(attempt.hash)
            if receipt is None:
                continue
            refuse_foreign(receipt, attempt, self.sender)
            block = await self._fetch_block(receipt.block_number, head)
            if block.hash == receipt.block_hash:  # mutation: G11 canonical-receipt
                return await self._settle_attempt(submission, receipt, attempt, block)
        return None

    async def _settle_attempt(
        self, submission: Submission, receipt: Receipt, attempt: Attempt, block: Head
    ) -> Mined | Unread:
        try:
            settlement = await settle(self.chain, receipt, attempt, block)
        except ChainError as error:
            return Unread(reason=str(error), is_ours=True)
        why, batch = list[str](), submission.batch
        if not settlement.success and batch is not None and attempt.kind is not AttemptKind.CANCEL:
            why = await self._fetch_revert_reasons(batch, attempt, settlement)
        return Mined(settlement=settlement, timestamp=block.timestamp, why_reverted=why)

    async def _fetch_revert_reasons(
        self, batch: Batch, attempt: Attempt, settlement: Settlement
    ) -> list[str]:
        try:
            async with asyncio.timeout(REASON_SECONDS):
                return await why_reverted(self.chain, batch, attempt, settlement, self.sender)
        except TimeoutError:
            return [REVERTED] * len(batch.plans)

    async def _derive_without_receipt(
        self, submission: Submission, head: Head, since: int, reason: str
    ) -> Mined | Unread:
        """Derive the outcome of a nonce with an unreadable receipt from its transaction."""
        try:
            async with asyncio.timeout(RECEIPT_SECONDS):
                for attempt in reversed(submission.attempts):
                    receipt = await fetch_unreceipted(self.chain, attempt)
                    if receipt is None:
                        continue
                    refuse_foreign(receipt, attempt, self.sender)
                    block = await self._fetch_block(receipt.block_number, head)
                    if block.hash != receipt.block_hash:
                        continue
                    if head.number - since < UNREAD_BLOCKS:
                        return Unread(reason=reason, is_ours=True)
                    return await self._settle_attempt(submission, receipt, attempt, block)
        except (ChainError, TimeoutError) as error:
            log.info("transaction_unread nonce=%d reason=%s", submission.nonce, error)
        return Unread(reason=reason, is_ours=False)

    async def _find_reverted_final(
        self, through: int | None, last: Head | None, head: Head
    ) -> list[MinedPair]:
        """Return the nonces final in the journal and gone from the chain, newest block first.

        Blocks that the chain itself calls final are read too where the chain contradicts that, and
        by a starting process. Below a canonical block all others are canonical.
        """
        trusted = last is not None and not self.finality.changed
        floor = NOTHING_FINAL if through is None or not trusted else through
        found = await self.journal.final_above(max(head.number - DEEPEST_REORG, floor))
        mined = [(one, one.inclusion) for one in found if one.inclusion is not None]
        gone = list[MinedPair]()
        for submission, inclusion in sorted(mined, key=lambda pair: -pair[1].block_number):
            if inclusion.block_number > head.number:
                continue  # the chain is shorter: it may lag, and says nothing yet
            if (await self._fetch_block(inclusion.block_number, head)).hash == inclusion.block_hash:
                break
            gone.append((submission, inclusion))
        return sorted(gone, key=lambda pair: pair[0].nonce)

    async def _find_reverted_included(
        self, included: Sequence[MinedPair], head: Head
    ) -> tuple[list[MinedPair], frozenset[int]]:
        """Return the included nonces that a reorg reverted, and the ones that cannot be read."""
        blocks: dict[int, Head | None] = {}
        gone, unread = list[MinedPair](), set[int]()
        for submission, inclusion in included:
            number = inclusion.block_number
            try:
                if number not in blocks:
                    canonical = number <= head.number
                    blocks[number] = await self._fetch_block(number, head) if canonical else None
            except ChainError as error:
                log.warning("block_unread number=%d reason=%s", number, error)
                unread.add(submission.nonce)
                continue
            block = blocks[number]
            if block is None or block.hash != inclusion.block_hash:  # mutation: G11 taken-back
                gone.append((submission, inclusion))
        return gone, frozenset(unread)

    async def _fetch_block(self, number: int, head: Head) -> Head:
        """Return the canonical block of a height, or ``head`` itself."""
        return head if number == head.number else await canonical_head(self.chain, number)


def _list_included(book: Mapping[int, Submission]) -> list[MinedPair]:
    return [
        (one, one.inclusion)
        for _, one in sorted(book.items())
        if one.state is NonceState.INCLUDED and one.inclusion is not None
    ]
