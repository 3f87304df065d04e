"""What the chain did with our nonces: included, final, re-opened, or used by somebody else."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from keeper.chain.records import Receipt
from keeper.domain.errors import ForeignKeyUse, RpcMalformed
from keeper.domain.head import Head
from keeper.domain.submission import (
    AttemptKind,
    Inclusion,
    NonceState,
    PlanOutcome,
    Submission,
)
from keeper.domain.units import Address, Timestamp
from keeper.execution.chain import Chain, Emit, Outcomes, SubmitJournal
from keeper.execution.failpoints import reached
from keeper.execution.results import failed_outcomes, why_reverted
from keeper.execution.told import inclusion_event

log = logging.getLogger(__name__)

MISSING_RECEIPT_BLOCKS = 3
MISSING_RECEIPT_SECONDS = 15
"""How long, in both, to wait for a used nonce's receipt before it counts as somebody else's."""


@dataclass(slots=True, kw_only=True)
class Tracker:
    """
    Observes; it never signs or sends. ``book`` holds every nonce that is not final.

    ``settlements`` counts the receipts that were noted or taken back: what was spent changed.
    """

    chain: Chain
    journal: SubmitJournal
    sender: Address
    outcomes: Outcomes
    emit: Emit
    confirmations: int = 12
    book: dict[int, Submission] = field(default_factory=dict)
    settlements: int = 0
    _missing: dict[int, Head] = field(default_factory=dict)
    _last: Head | None = None

    def bound(self) -> list[Submission]:
        """Return the nonces that no block consumed yet, lowest first."""
        return [self.book[n] for n in sorted(self.book) if self.book[n].state is NonceState.BOUND]

    async def observe(self, head: Head) -> int:
        """
        Bring the book to ``head`` and return how many nonces the chain consumed.

        Raises:
            ForeignKeyUse: the chain consumed a nonce with a transaction of somebody else.
            ChainError: the chain could not be read; nothing was concluded.
            JournalError: what was seen could not be kept.
        """
        await self._check_included(head)
        count = await self.chain.transaction_count(self.sender)
        await self.check_known(count)
        consumed = [one for one in self.bound() if one.nonce < count]
        found = await asyncio.gather(*(self._canonical_receipt(one, head) for one in consumed))
        missing: dict[int, Head] = {}
        for submission, receipt in zip(consumed, found, strict=True):
            if receipt is None:
                missing[submission.nonce] = self._missing.get(submission.nonce, head)
            elif receipt[0].block_number <= head.number:
                await self._include(submission, *receipt)
        self._missing = missing
        for nonce, since in missing.items():
            self._note_missing(nonce, since, head)
        self._last = head
        return count

    @property
    def unexplained(self) -> frozenset[int]:
        """The nonces that the chain consumed and no receipt of ours explains, so far."""
        return frozenset(self._missing)

    def settled(self, high_water: int | None) -> int:
        """Return how many nonces are final by the journal: no chain of ours has fewer."""
        own = self.journal.first_nonce if high_water is None else high_water + 1
        return min(self.book, default=own)

    async def check_known(self, count: int) -> None:
        """Raise ForeignKeyUse where the chain consumed nonces that the journal never bound."""
        water = await self.journal.high_water()
        known = self.journal.first_nonce if water is None else water + 1
        if count > max(known, self.journal.first_nonce):
            raise ForeignKeyUse(
                f"{self.sender} has sent {count} transactions, the journal knows {known}",
                hint="somebody else signs with this key, or the journal is an old copy:"
                " move the funds, use a new key",
            )

    def _note_missing(self, nonce: int, since: Head, head: Head) -> None:
        if (
            head.number - since.number >= MISSING_RECEIPT_BLOCKS
            and head.timestamp - since.timestamp >= MISSING_RECEIPT_SECONDS
        ):
            raise self.used_by_others(nonce)
        log.warning("receipt_missing nonce=%d block=%d", nonce, head.number)

    def used_by_others(self, nonce: int) -> ForeignKeyUse:
        """Return the error of a nonce that none of our attempts used."""
        return ForeignKeyUse(
            f"nonce {nonce} of {self.sender} was used by a transaction that is not in the journal",
            hint="somebody else signs with this key: move the funds, use a new key",
        )

    async def _canonical_receipt(
        self, submission: Submission, head: Head
    ) -> tuple[Receipt, Timestamp] | None:
        """Return the receipt of any attempt and its block's time, if the chain has that block."""
        for attempt in reversed(submission.attempts):
            receipt = await self.chain.receipt(attempt.hash)
            block = None if receipt is None else await self._canonical_block(receipt, head)
            if receipt is not None and block is not None:
                return receipt, block.timestamp
        return None

    async def _canonical_block(self, receipt: Receipt | Inclusion, head: Head) -> Head | None:
        """Return the block that has the receipt; None where it is not the chain's any more."""
        same = receipt.block_number == head.number
        block = head if same else await self.chain.head(receipt.block_number)
        return block if block.hash == receipt.block_hash else None

    async def _include(
        self, submission: Submission, receipt: Receipt, timestamp: Timestamp
    ) -> None:
        reached("K8")
        inclusion = Inclusion(
            hash=receipt.transaction_hash,
            block_number=receipt.block_number,
            block_hash=receipt.block_hash,
            success=receipt.success,
            gas_used=receipt.gas_used,
            effective_gas_price=receipt.gas_price,
            plans=await self._plans(submission, receipt),
            timestamp=timestamp,
        )
        await self.journal.include(submission.nonce, inclusion)
        reached("K11")
        self.settlements += 1
        done = replace(submission, state=NonceState.INCLUDED, inclusion=inclusion)
        self.book[submission.nonce] = done
        self.emit(inclusion_event("included", done, inclusion))
        reached("K12")

    async def _plans(self, submission: Submission, receipt: Receipt) -> tuple[PlanOutcome, ...]:
        """Return what each plan brought; nothing where the attempt that was mined cancelled."""
        batch = submission.batch
        (attempt,) = [one for one in submission.attempts if one.hash == receipt.transaction_hash]
        if batch is None or attempt.kind is AttemptKind.CANCEL:
            return ()
        if not receipt.success:
            why = await why_reverted(self.chain, batch, attempt, receipt, self.sender)
            return failed_outcomes(batch, why)
        try:
            return self.outcomes(batch, receipt.logs)
        except RpcMalformed as error:
            log.warning("logs_unreadable hash=%s reason=%s", receipt.transaction_hash, error)
            return failed_outcomes(batch, f"its logs cannot be read: {error}")

    async def _check_included(self, head: Head) -> None:
        """Finalise what is deep enough; re-open what a reorg took back."""
        linear = self._last is not None and head.parent_hash == self._last.hash
        for submission in self._included():
            inclusion = submission.inclusion
            if inclusion is None:
                continue
            reached("K9")
            deep = head.number >= inclusion.block_number + self.confirmations
            if linear and not deep:
                continue
            gone = inclusion.block_number > head.number
            if gone or await self._canonical_block(inclusion, head) is None:
                await self._reopen(submission, inclusion)
            elif deep:
                reached("K10")
                await self.journal.finalise(submission.nonce)
                del self.book[submission.nonce]
                reached("K13")
                self.emit(inclusion_event("final", submission, inclusion))

    def _included(self) -> Sequence[Submission]:
        return [
            self.book[n] for n in sorted(self.book) if self.book[n].state is NonceState.INCLUDED
        ]

    async def _reopen(self, submission: Submission, inclusion: Inclusion) -> None:
        await self.journal.reopen(submission.nonce)
        self.settlements += 1
        self.book[submission.nonce] = replace(submission, state=NonceState.BOUND, inclusion=None)
        self.emit(inclusion_event("reopened", submission, inclusion))
