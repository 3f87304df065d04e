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
    KeeperError,
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
from keeper.domain.units import Address
from keeper.execution.chain import Chain, Emit, Outcomes, SeesForks, SubmitJournal
from keeper.execution.cooling import Cooling
from keeper.execution.early_reads import EarlyReads
from keeper.execution.failpoints import reached
from keeper.execution.finality import Finality
from keeper.execution.observation import Mined, MinedPair, Observation, Observer, Unread
from keeper.execution.results import failed_outcomes, with_touches
from keeper.execution.second_look import SecondLook
from keeper.execution.takeback import TakebackWatch
from keeper.execution.told import inclusion_event, market_warning_event

log = logging.getLogger(__name__)

MISSING_RECEIPT_BLOCKS = 3
MISSING_RECEIPT_SECONDS = 15
"""How long, in both, to wait for a used nonce's receipt before it counts as somebody else's."""


@dataclass(slots=True, kw_only=True)
class Tracker:
    """
    Observes; it never signs or sends. ``book`` holds every nonce that is not final.

    ``settlements`` counts the receipts that were noted or taken back: what was spent changed.
    ``untimely`` says why a head is too old, or too far ahead, to be acted on; empty where it is
    not.
    """

    chain: Chain
    journal: SubmitJournal
    sender: Address
    outcomes: Outcomes
    emit: Emit
    confirmations: int = 12
    untimely: Callable[[Head], str] = lambda _: ""
    cooling: Cooling = field(default_factory=Cooling)
    second_look: SecondLook | None = None
    finality: Finality = field(init=False)
    takebacks: TakebackWatch = field(init=False)
    early: EarlyReads = field(init=False)
    book: dict[int, Submission] = field(default_factory=dict)
    settlements: int = 0
    _missing: dict[int, Head] = field(default_factory=dict)
    _unread: dict[int, tuple[int, Unread]] = field(default_factory=dict)
    _last: Head | None = None
    _waits_unseen: bool = False

    def __post_init__(self) -> None:
        self.early = EarlyReads(sender=self.sender)
        self.finality = Finality(chain=self.chain)
        self.takebacks = TakebackWatch(
            finality=self.finality, confirmations=self.confirmations, emit=self.emit
        )

    def bound(self) -> list[Submission]:
        """Return the nonces that no block consumed yet, lowest first."""
        return [self.book[n] for n in sorted(self.book) if self.book[n].state is NonceState.BOUND]

    @property
    def consumed(self) -> frozenset[int]:
        """The bound nonces that a block is known to have, and of which no more is known yet."""
        return frozenset(nonce for nonce, (_, found) in self._unread.items() if found.is_ours)

    async def observe(self, head: Head) -> int:
        """
        Bring the book to ``head`` and return how many nonces the chain consumed.

        Raises:
            ForeignKeyUse: the chain consumed a nonce with a transaction of somebody else.
            ChainError: the chain could not be read; nothing was concluded.
            JournalError: what was seen could not be kept.
        """
        return await self.apply(await self.look(head))

    async def look(self, head: Head) -> Observation:
        """
        Read what the chain has of the book's nonces; nothing is changed.

        Raises:
            ChainError: the chain could not be read.
            JournalError: the journal could not be read.
        """
        since = {nonce: number for nonce, (number, _) in self._unread.items()}
        seen = await self._observer().look(self.book, self._last, head, since)
        if seen.is_linear:
            return seen
        try:
            return replace(seen, depth=await self.takebacks.depth_taken_back(self.chain, head))
        except ChainError as error:
            log.warning("depth_unread block=%d reason=%s", head.number, error)
            return replace(seen, is_complete=False)

    async def apply(self, seen: Observation) -> int:
        """
        Bring the book to what was seen and return how many nonces the chain consumed.

        Raises:
            ForeignKeyUse: the chain consumed a nonce with a transaction of somebody else.
            JournalError: what was seen could not be kept.
        """
        for submission, inclusion in seen.gone:
            if self.book.get(submission.nonce, submission).inclusion == inclusion:
                await self._reopen(submission, inclusion)
        await self._finalise(seen.final)
        self.takebacks.judge(seen.head, seen.depth, seen.gone)
        await self.check_known(seen.count)
        missing: dict[int, Head] = {}
        unread: dict[int, tuple[int, Unread]] = {}
        for nonce, found in seen.consumed.items():
            consumed = self.book.get(nonce)
            if consumed is None or consumed.state is not NonceState.BOUND:
                continue
            if found is None:
                missing[nonce] = self._missing.get(nonce, seen.head)
            elif isinstance(found, Unread):
                since, _ = self._unread.get(nonce, (seen.head.number, found))
                unread[nonce] = (since, found)
            elif found.settlement.receipt.block_number <= seen.head.number:
                await self._include(consumed, found)
        self._missing, self._unread = missing, unread
        for nonce, since_head in missing.items():
            self._note_missing(nonce, since_head, seen.head)
        self._last = None
        if seen.is_complete:
            self._see(seen.head, is_linear=seen.is_linear)
        return seen.count

    async def quiet(self, head: Head) -> bool:
        """
        Whether there is nothing to look after, asking nobody where blocks follow each other.

        A reorg may take back what was final, so then there is.
        """
        if self.book:
            return False
        used = await self.journal.high_water() is not None
        if used and not await self._observer().is_linear(self._last, head):
            return False
        self._see(head)
        return True

    def _see(self, head: Head, *, is_linear: bool = True) -> None:
        self._last = head
        self.takebacks.remember(head, is_linear=is_linear)

    def _observer(self) -> Observer:
        return Observer(
            chain=self.chain,
            journal=self.journal,
            sender=self.sender,
            finality=self.finality,
            confirmations=self.confirmations,
        )

    @property
    def unread(self) -> str:
        """Why a used nonce cannot be explained now, though nobody says that it is another's."""
        unclear = {nonce: one for nonce, (_, one) in self._unread.items() if not one.is_ours}
        if not unclear:
            return ""
        nonce = min(unclear)
        return f"nonce {nonce} was used, and its receipt cannot be read: {unclear[nonce].reason}"

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
            await self.check_waiting()  # mutation: G7 waiting-in-quiet-time
            if (await self.chain.head()).number >= first + blocks:
                return
            await asyncio.sleep(pause)

    def begin_reads(self, head: Head) -> None:
        """Begin what a signature at this head will wait for; returns at once."""
        self.early.begin(self.chain, head)

    async def check_canonical(self, head: Head) -> None:
        """Raise NotBroadcast unless the block that was decided on is still the chain's newest."""
        self.refuse_untimely(head)
        try:
            known = await self.early.fetch_head(self.chain, head)
        except ChainError as error:
            raise NotBroadcast(f"the block cannot be checked: {error}") from error
        if known.hash != head.hash:  # mutation: G13 reorganised-head
            raise NotBroadcast(f"block {head.number} was reorganised while deciding")

    def accept_chain(self) -> None:
        """Take the chain as it is, whatever was final: a person has explained it."""
        self.takebacks.accept()
        if isinstance(self.chain, SeesForks):
            self.chain.accept_finality()

    def refuse_untimely(self, head: Head) -> None:
        """Raise NotBroadcast where a block is too old, or too far ahead, to be signed upon."""
        if why := self.untimely(head):  # mutation: G14 untimely-block
            raise NotBroadcast(why)

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
        if count > max(known, self.journal.first_nonce):  # mutation: G7 foreign-count
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

    def unexplained_error(self, settled: int, count: int) -> KeeperError:
        """Return why the chain's ``count`` of nonces cannot be taken for what is known."""
        if self.unexplained:
            return self.used_by_others(min(self.unexplained))
        if self.unread:
            return ChainError(self.unread, hint="another endpoint may have the receipt")
        return JournalError(
            f"the journal has {settled} final transactions of {self.sender}, the chain {count}",
            hint="the node lags far behind, or the chain was started anew: then the journal is"
            " another chain's, and needs another journal.path",
        )

    def used_by_others(self, nonce: int) -> ForeignKeyUse:
        """Return the error of a nonce that none of our attempts used."""
        return ForeignKeyUse(
            f"nonce {nonce} of {self.sender} was used by a transaction that is not in the journal",
            hint="somebody else signs with this key: move the funds, use a new key",
        )

    async def _include(self, submission: Submission, mined: Mined) -> None:
        reached("K8")
        settlement = mined.settlement
        receipt = settlement.receipt
        inclusion = Inclusion(
            hash=receipt.transaction_hash,
            block_number=receipt.block_number,
            block_hash=receipt.block_hash,
            success=settlement.success,
            gas_used=settlement.gas_used,
            effective_gas_price=settlement.gas_price,
            plans=await self._judged(submission, self._plans(submission, mined), receipt),
            timestamp=mined.timestamp,
            data_fee=receipt.data_fee,
        )
        await self.journal.include(submission.nonce, inclusion)
        reached("K11")
        self.settlements += 1
        done = replace(submission, state=NonceState.INCLUDED, inclusion=inclusion)
        for market, reason in self.cooling.note(done).items():
            self.emit(market_warning_event(market, reason, inclusion))
        self.book[submission.nonce] = done
        self._tell("included", done, inclusion)
        reached("K12")

    async def _judged(
        self, submission: Submission, plans: tuple[PlanOutcome, ...], receipt: Receipt
    ) -> tuple[PlanOutcome, ...]:
        """Return the outcomes with what their block says of the failed ones."""
        outcomes = await with_touches(self.chain, plans, receipt)
        if self.second_look is None:
            return outcomes
        return await self.second_look.judge(submission, outcomes, receipt)

    def _plans(self, submission: Submission, mined: Mined) -> tuple[PlanOutcome, ...]:
        """Return what each plan brought; nothing where the attempt that was mined cancelled."""
        batch, settlement = submission.batch, mined.settlement
        mined_hash = settlement.receipt.transaction_hash
        (attempt,) = [one for one in submission.attempts if one.hash == mined_hash]
        if batch is None or attempt.kind is AttemptKind.CANCEL:
            return ()
        if not settlement.success:
            return failed_outcomes(batch, mined.why_reverted)
        try:
            return self.outcomes(batch, settlement.logs)
        except RpcMalformed as error:
            log.warning("logs_unreadable hash=%s reason=%s", mined_hash, error)
            return failed_outcomes(batch, [f"its logs cannot be read: {error}"] * len(batch.plans))

    async def _finalise(self, deep: Sequence[MinedPair]) -> None:
        """Note what is deep enough; it is not looked after any more."""
        for one in self.book.values():
            if one.state is NonceState.INCLUDED:
                reached("K9")
        for submission, inclusion in deep:
            current = self.book.get(submission.nonce)
            if current is None or current.inclusion != inclusion:
                continue
            reached("K10")
            await self.journal.finalise(submission.nonce)
            del self.book[submission.nonce]
            self._tell("final", submission, inclusion)
            reached("K13")

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
