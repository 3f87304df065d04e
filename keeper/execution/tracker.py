"""What the chain did with our nonces: included, final, re-opened, or used by somebody else."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from keeper.chain.optional import fetch_pending_nonce
from keeper.chain.records import Receipt
from keeper.domain.errors import (
    ChainError,
    ForeignKeyUse,
    JournalError,
    NotBroadcast,
    RpcMalformed,
)
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
from keeper.execution.cooling import Cooling
from keeper.execution.failpoints import reached
from keeper.execution.finality import NOTHING_FINAL, Finality
from keeper.execution.matching import refuse_foreign
from keeper.execution.results import failed_outcomes, why_reverted
from keeper.execution.told import inclusion_event

log = logging.getLogger(__name__)

MISSING_RECEIPT_BLOCKS = 3
MISSING_RECEIPT_SECONDS = 15
"""How long, in both, to wait for a used nonce's receipt before it counts as somebody else's."""


DEEPEST_REORG = 1_024
"""How far down, in blocks, what was final by depth alone is looked at again after a reorg."""

_Mined = tuple[Submission, Inclusion]


@dataclass(slots=True, kw_only=True)
class Tracker:
    """
    Observes; it never signs or sends. ``book`` holds every nonce that is not final.

    ``settlements`` counts the receipts that were noted or taken back: what was spent changed.
    ``too_old`` says why a head is not to be acted on any more; empty where it is.
    """

    chain: Chain
    journal: SubmitJournal
    sender: Address
    outcomes: Outcomes
    emit: Emit
    confirmations: int = 12
    too_old: Callable[[Head], str] = lambda _: ""
    cooling: Cooling = field(default_factory=Cooling)
    finality: Finality = field(init=False)
    book: dict[int, Submission] = field(default_factory=dict)
    settlements: int = 0
    _missing: dict[int, Head] = field(default_factory=dict)
    _last: Head | None = None
    _waits_unseen: bool = False

    def __post_init__(self) -> None:
        self.finality = Finality(chain=self.chain)

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

    async def quiet(self, head: Head) -> bool:
        """
        Whether there is nothing to look after, asking nobody where blocks follow each other.

        Where only the depth says what is final, a reorg may take that back too.
        """
        if self.finality.known is None and await self.journal.high_water() is not None:
            if not await self._is_linear(head):
                await self._check_included(head)
            self._last = head
        return not self.book

    @property
    def unexplained(self) -> frozenset[int]:
        """The nonces that the chain consumed and no receipt of ours explains, so far."""
        return frozenset(self._missing)

    def settled(self, high_water: int | None) -> int:
        """Return how many nonces are final by the journal: no chain of ours has fewer."""
        own = self.journal.first_nonce if high_water is None else high_water + 1
        return min(self.book, default=own)

    async def check_same_chain(self, head: Head, depth: int) -> None:
        """
        Raise JournalError where the journal was made on another chain of the same id.

        It is known by a block ``depth`` below the head that the journal was made at.
        """
        if self.journal.anchor is None:
            deep = await self.chain.head(max(0, head.number - depth))
            await self.journal.keep_anchor(deep.number, deep.hash)
            return
        number, expected = self.journal.anchor
        if number <= head.number and (await self.chain.head(number)).hash == expected:
            return
        raise JournalError(
            f"the journal was made on a chain whose block {number} is another",
            hint="the node lags far behind, or the chain was started anew: then give this one"
            " another journal.path",
        )

    async def listen(self, blocks: int, pause: float = 1.0) -> None:
        """
        Watch the key for so many blocks, before the first signature.

        Raises:
            ForeignKeyUse: somebody else used it meanwhile, or is about to.
            ChainError: the chain cannot be read.
        """
        first = (await self.chain.head()).number
        if blocks:
            log.info("key_watched address=%s blocks=%d", self.sender, blocks)
        while True:
            await self.check_known(await self.chain.transaction_count(self.sender))
            await self.check_waiting()
            if (await self.chain.head()).number >= first + blocks:
                return
            await asyncio.sleep(pause)

    async def check_canonical(self, head: Head) -> None:
        """Raise NotBroadcast unless the block that was decided on is still the chain's newest."""
        if why := self.too_old(head):
            raise NotBroadcast(why)
        try:
            known = await self.chain.head(head.number)
        except ChainError as error:
            raise NotBroadcast(f"the block cannot be checked: {error}") from error
        if known.hash != head.hash:
            raise NotBroadcast(f"block {head.number} was reorganised while deciding")

    async def check_waiting(self) -> None:
        """
        Raise ForeignKeyUse where transactions wait that the journal never bound.

        Where no node tells what waits, others' use of the key shows only once it is mined.
        """
        count = await fetch_pending_nonce(self.chain, self.sender)
        if count is not None:
            await self.check_known(count)
        elif not self._waits_unseen:
            self._waits_unseen = True
            hint = "other use of the key shows once mined: add an endpoint that tells it"
            log.warning("pending_nonce_unknown address=%s hint=%s", self.sender, hint)

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
            if receipt is None:
                continue
            refuse_foreign(receipt, attempt, self.sender)
            block = await self._block(receipt.block_number, head)
            if block.hash == receipt.block_hash:
                return receipt, block.timestamp
        return None

    async def _block(self, number: int, head: Head) -> Head:
        """Return the chain's block of that number, as far as ``head`` knows it."""
        return head if number == head.number else await self.chain.head(number)

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
            data_fee=receipt.data_fee,
        )
        await self.journal.include(submission.nonce, inclusion)
        reached("K11")
        self.settlements += 1
        self.cooling.note(inclusion)
        done = replace(submission, state=NonceState.INCLUDED, inclusion=inclusion)
        self.book[submission.nonce] = done
        self._tell("included", done, inclusion)
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
        included = self._included()
        deep = {
            one.nonce
            for one, inclusion in included
            if head.number >= inclusion.block_number + self.confirmations
        }
        through = await self.finality.through(head, waiting=bool(deep))
        if not await self._is_linear(head):
            final = await self._final_above(through, head)
            included = await self._canonical([*final, *included], head)
        for submission, inclusion in included:
            reached("K9")
            if submission.nonce in deep and (through is None or inclusion.block_number <= through):
                reached("K10")
                await self.journal.finalise(submission.nonce)
                del self.book[submission.nonce]
                self._tell("final", submission, inclusion)
                reached("K13")

    async def _is_linear(self, head: Head) -> bool:
        """Whether nothing was taken back since the last head that was observed."""
        last = self._last
        if last is None or head.number < last.number:
            return False
        if head.parent_hash == last.hash:
            return True
        return (await self._block(last.number, head)).hash == last.hash

    async def _final_above(self, through: int | None, head: Head) -> list[_Mined]:
        """
        Return what the journal has for final and the chain has not, or not yet.

        A depth is a guess, and what was final by it may come back. What the chain itself calls
        final is not looked at again.
        """
        least = max(head.number - DEEPEST_REORG, NOTHING_FINAL if through is None else through)
        found = await self.journal.final_above(least)
        return [(one, one.inclusion) for one in found if one.inclusion is not None]

    async def _canonical(self, mined: Sequence[_Mined], head: Head) -> list[_Mined]:
        """Re-open every nonce whose block is not the chain's any more; return the others."""
        blocks: dict[int, Head | None] = {}
        kept: list[_Mined] = []
        for submission, inclusion in mined:
            number, final = inclusion.block_number, submission.state is NonceState.FINAL
            if number not in blocks:
                blocks[number] = None if number > head.number else await self._block(number, head)
            block = blocks[number]
            if block is None and final:
                continue  # the chain is shorter: it may lag, and says nothing yet
            if block is None or block.hash != inclusion.block_hash:
                await self._reopen(submission, inclusion)
            elif not final:
                kept.append((submission, inclusion))
        return kept

    def _included(self) -> list[_Mined]:
        return [
            (one, one.inclusion)
            for _, one in sorted(self.book.items())
            if one.state is NonceState.INCLUDED and one.inclusion is not None
        ]

    async def _reopen(self, submission: Submission, inclusion: Inclusion) -> None:
        await self.journal.reopen(submission.nonce)
        self.settlements += 1
        self.book[submission.nonce] = replace(submission, state=NonceState.BOUND, inclusion=None)
        self._tell("reopened", submission, inclusion)

    def _tell(self, name: str, submission: Submission, inclusion: Inclusion) -> None:
        """Emit what became of a nonce, and log it."""
        log.info(
            "tx_%s nonce=%d hash=%s block=%d success=%s gas_used=%d net_profit_wei=%d",
            name,
            submission.nonce,
            inclusion.hash,
            inclusion.block_number,
            inclusion.success,
            inclusion.gas_used,
            inclusion.net_profit,
        )
        self.emit(inclusion_event(name, submission, inclusion))
