"""Tracks our nonces on chain, included, final, reopened or used by another party."""

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
"""Both must pass without a used nonce's receipt before it counts as another party's."""


@dataclass(slots=True, kw_only=True)
class Tracker:
    """Tracks nonces without signing or sending. ``book`` holds every nonce that is not final.

    ``settlements`` counts the receipts noted or reverted, each of which changes the costs.
    ``untimely`` returns why a head is too old, or too far ahead, to act on, else empty.
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
        """Return the nonces that no block has consumed yet, lowest first."""
        return [self.book[n] for n in sorted(self.book) if self.book[n].state is NonceState.BOUND]

    @property
    def consumed(self) -> frozenset[int]:
        """Bound nonces known to be mined, without further details yet."""
        return frozenset(nonce for nonce, (_, found) in self._unread.items() if found.is_ours)

    async def observe(self, head: Head) -> int:
        """Update the book to ``head`` and return how many nonces the chain consumed.

        Raises:
            ForeignKeyUse: the chain consumed a nonce with another party's transaction.
            ChainError: the chain could not be read. Nothing was concluded.
            JournalError: an observation could not be persisted.
        """
        return await self.apply(await self.look(head))

    async def look(self, head: Head) -> Observation:
        """Read the chain's state of the book's nonces, without changing anything.

        Raises:
            ChainError: the chain could not be read.
            JournalError: the journal could not be read.
        """
        since = {nonce: number for nonce, (number, _) in self._unread.items()}
        seen = await self._build_observer().look(self.book, self._last, head, since)
        if seen.is_linear:
            return seen
        try:
            return replace(seen, depth=await self.takebacks.depth_taken_back(self.chain, head))
        except ChainError as error:
            log.warning("depth_unread block=%d reason=%s", head.number, error)
            return replace(seen, is_complete=False)

    async def apply(self, seen: Observation) -> int:
        """Apply an observation to the book and return how many nonces the chain consumed.

        Raises:
            ForeignKeyUse: the chain consumed a nonce with another party's transaction.
            JournalError: an observation could not be persisted.
        """
        for submission, inclusion in seen.gone:
            if self.book.get(submission.nonce, submission).inclusion == inclusion:
                await self._revert_inclusion(submission, inclusion)
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
            self._check_missing(nonce, since_head, seen.head)
        self._last = None
        if seen.is_complete:
            self._remember_head(seen.head, is_linear=seen.is_linear)
        return seen.count

    async def quiet(self, head: Head) -> bool:
        """Return whether there is nothing to follow, without a request while blocks are linear.

        A reorg may revert a final nonce, so then there is.
        """
        if self.book:
            return False
        used = await self.journal.high_water() is not None
        if used and not await self._build_observer().is_linear(self._last, head):
            return False
        self._remember_head(head)
        return True

    def _remember_head(self, head: Head, *, is_linear: bool = True) -> None:
        self._last = head
        self.takebacks.remember(head, is_linear=is_linear)

    def _build_observer(self) -> Observer:
        return Observer(
            chain=self.chain,
            journal=self.journal,
            sender=self.sender,
            finality=self.finality,
            confirmations=self.confirmations,
        )

    @property
    def unread(self) -> str:
        """Reason why a used nonce, possibly ours, cannot be explained now. Empty if none."""
        unclear = {nonce: one for nonce, (_, one) in self._unread.items() if not one.is_ours}
        if not unclear:
            return ""
        nonce = min(unclear)
        return f"nonce {nonce} was used, and its receipt cannot be read: {unclear[nonce].reason}"

    @property
    def unexplained(self) -> frozenset[int]:
        """Nonces that the chain consumed without a receipt of ours so far."""
        return frozenset(self._missing)

    def settled(self, high_water: int | None) -> int:
        """Count the nonces final in the journal. No chain of ours has fewer."""
        own = self.journal.first_nonce if high_water is None else high_water + 1
        return min(self.book, default=own)

    async def check_same_chain(self, head: Head, depth: int) -> None:
        """Raise JournalError if the journal was created on another chain of the same id.

        The chain is recognized by a block ``depth`` below the head at which it was created.
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
        """Watch the key for a number of blocks before the first signature.

        Raises:
            ForeignKeyUse: another party used it meanwhile, or has a transaction pending.
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
        """Start the reads that signing at this head needs, and return at once."""
        self.early.begin(self.chain, head)

    async def check_canonical(self, head: Head) -> None:
        """Raise NotBroadcast unless the decision's block is still the chain's newest."""
        self.refuse_untimely(head)
        try:
            known = await self.early.fetch_head(self.chain, head)
        except ChainError as error:
            raise NotBroadcast(f"the block cannot be checked: {error}") from error
        if known.hash != head.hash:  # mutation: G13 reorganised-head
            raise NotBroadcast(f"block {head.number} was reorganised while deciding")

    def accept_chain(self) -> None:
        """Accept the present chain, also where it contradicts a final block."""
        self.takebacks.accept()
        if isinstance(self.chain, SeesForks):
            self.chain.accept_finality()

    def refuse_untimely(self, head: Head) -> None:
        """Raise NotBroadcast if a block is too old, or too far ahead, to sign on."""
        if why := self.untimely(head):  # mutation: G14 untimely-block
            raise NotBroadcast(why)

    async def check_waiting(self) -> None:
        """Raise ForeignKeyUse if transactions are pending that the journal never bound.

        If no node reports pending transactions, foreign use of the key shows only once mined.
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

    def _check_missing(self, nonce: int, since: Head, head: Head) -> None:
        if (
            head.number - since.number >= MISSING_RECEIPT_BLOCKS
            and head.timestamp - since.timestamp >= MISSING_RECEIPT_SECONDS
        ):
            raise self.used_by_others(nonce)
        log.warning("receipt_missing nonce=%d block=%d", nonce, head.number)

    def unexplained_error(self, settled: int, count: int) -> KeeperError:
        """Build the error of a transaction count that the journal does not explain."""
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
        """Build the error of a nonce that none of our attempts used."""
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
            plans=await self._explain_failures(
                submission, self._build_outcomes(submission, mined), receipt
            ),
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
        self._report("included", done, inclusion)
        reached("K12")

    async def _explain_failures(
        self, submission: Submission, plans: tuple[PlanOutcome, ...], receipt: Receipt
    ) -> tuple[PlanOutcome, ...]:
        """Add to failed outcomes what their block shows."""
        outcomes = await with_touches(self.chain, plans, receipt)
        if self.second_look is None:
            return outcomes
        return await self.second_look.judge(submission, outcomes, receipt)

    def _build_outcomes(self, submission: Submission, mined: Mined) -> tuple[PlanOutcome, ...]:
        """Build each plan's outcome. Empty if the mined attempt is a cancellation."""
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
        """Persist the nonces that are deep enough, and stop following them."""
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
            self._report("final", submission, inclusion)
            reached("K13")

    async def _revert_inclusion(self, submission: Submission, inclusion: Inclusion) -> None:
        await self.journal.reopen(submission.nonce)
        self.settlements += 1
        self.book[submission.nonce] = replace(submission, state=NonceState.BOUND, inclusion=None)
        self._report("reopened", submission, inclusion)

    def _report(self, name: str, submission: Submission, inclusion: Inclusion) -> None:
        """Emit and log a nonce's new state."""
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
