"""Submission of batches, from recording and sending to following the nonces."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from keeper.domain.breaker import Breaker
from keeper.domain.errors import ChainError, ConfigError, JournalError, NotBroadcast
from keeper.domain.head import Head
from keeper.domain.plan import Batch, News
from keeper.domain.submission import AttemptKind, Submission
from keeper.domain.units import Address, Gas, MarketKey, Wei
from keeper.execution.affording import affordable, free_nonces
from keeper.execution.broadcast import Broadcast, seen_through
from keeper.execution.bump_rehearsal import Rehearse
from keeper.execution.chain import RawSender, Signer, readable
from keeper.execution.dispatching import Dispatcher
from keeper.execution.failpoints import reached
from keeper.execution.fees import FeeMarket, FeeOracle, market_fees, opening_fees
from keeper.execution.guard import Guard, Priced, Unlimited
from keeper.execution.nonces import next_nonce
from keeper.execution.observation import Observation
from keeper.execution.recording import Recording
from keeper.execution.replacing import Replacer, StillUnhealthy, expired
from keeper.execution.send_caps import SendCaps
from keeper.execution.signer import Unsigned
from keeper.execution.takeback_hold import TakebackHold
from keeper.execution.tracker import Tracker

log = logging.getLogger(__name__)

ANCHOR_DEPTH = 64
"""Depth, in blocks, of the block by which the chain is recognized."""
LIMIT_BLOCKS = 50
"""Blocks between two reads of the limit of nonces in flight."""
LIMIT_SECONDS = 1.0  # timeout of that read, for which sends wait


@dataclass(slots=True, kw_only=True)
class NodeSubmitter:
    """Submits batches and follows their transactions.

    One lock orders everything that changes a nonce, by heads and by the operator's commands.
    ``max_in_flight`` bounds the nonces in flight, as ``limit`` returns it. ``guard`` holds new
    batches only, while replacements and an operator's transactions go on. ``rehearse`` simulates
    again before a bump. ``caps`` are the nodes' limits on transactions.
    """

    signer: Signer
    node: RawSender
    tracker: Tracker
    fees: FeeOracle
    bump_after_blocks: int = 2
    max_in_flight: int = 16
    explain_seconds: float = 30.0
    explain_pause: float = 1.0
    guard: Guard = field(default_factory=Unlimited)
    rehearse: Rehearse | None = None
    limit: Callable[[Head], Awaitable[int]] | None = None
    caps: SendCaps = field(default_factory=SendCaps)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _head: Head | None = None
    _limited_at: int = -LIMIT_BLOCKS
    _recording: Recording = field(init=False)
    _takeback: TakebackHold = field(init=False)
    broadcast: Broadcast = field(init=False)
    replacer: Replacer = field(init=False)
    _dispatcher: Dispatcher = field(init=False)

    def __post_init__(self) -> None:
        self._recording = Recording(tracker=self.tracker)
        self._takeback = TakebackHold(tracker=self.tracker)
        self.broadcast = Broadcast(node=self.node, tracker=self.tracker)
        self.replacer = Replacer(
            signer=self.signer,
            tracker=self.tracker,
            fees=self.fees,
            bump_after_blocks=self.bump_after_blocks,
            rehearse=self.rehearse,
            caps=self.caps,
        )
        self._dispatcher = Dispatcher(
            tracker=self.tracker,
            recording=self._recording,
            broadcast=self.broadcast,
            replacer=self.replacer,
            caps=self.caps,
        )

    def in_flight(self) -> frozenset[tuple[MarketKey, Address]]:
        """Return the accounts of every nonce that no block consumed yet."""
        return frozenset(one for bound in self.tracker.bound() for one in bound.accounts)

    async def reconcile(self, head: Head) -> None:
        """Restore an earlier process's state, explaining every nonce and resending bound ones.

        It returns once every nonce that the chain consumed has its receipt. A node gets
        ``explain_seconds`` to find it, and is asked every ``explain_pause``. Attempts past their
        deadline are cancelled instead of resent.

        Raises:
            ForeignKeyUse: another party used a nonce of this key, or has one pending.
            JournalError: the journal cannot be read, or knows more than the chain.
            ChainError: the chain cannot be read, so nothing may be signed.
        """
        async with self._lock:
            tracker = self.tracker
            await self._recording.load()  # mutation: G4 load-journal
            await tracker.check_same_chain(head, ANCHOR_DEPTH)
            await self.guard.take_up(tracker, head)
            own = [each.hash for one in tracker.book.values() for each in one.attempts]
            self.broadcast.inherited.update(own)
            head, count = await self._await_explained(head)
            await tracker.check_waiting()
            for one in self._list_unused(count):
                if expired(one, head) and self._may_replace(head):
                    await self.replacer.ordered(one.nonce, head, AttemptKind.CANCEL)
            await self.broadcast.send(self._list_unused(count), head)
            await self.guard.observe(tracker, head)
            remembered = head.number - tracker.cooling.longest_wait
            tracker.cooling.take_up(await tracker.journal.mined_since(remembered))
            self._head = head

    async def _await_explained(self, head: Head) -> tuple[Head, int]:
        """Return a head at which every consumed nonce is explained, and the chain's count."""
        tracker = self.tracker
        give_up = time.monotonic() + self.explain_seconds
        while True:
            count = await tracker.observe(head)
            await self._takeback.hold(self.guard, head)
            if self._may_replace(head):
                await self.replacer.fill(head, count)
            settled = tracker.settled(await tracker.journal.high_water())
            if count >= settled and not tracker.unexplained and not tracker.unread:
                return head, count
            if time.monotonic() >= give_up:
                break
            await asyncio.sleep(self.explain_pause)
            head = await tracker.chain.head()
        raise tracker.unexplained_error(settled, count)

    async def submit(
        self, batches: Sequence[Batch], head: Head, *, news: News | None = None
    ) -> list[Batch]:
        """Bind a nonce to each batch that can pay, record all with the facts, then send each once.

        Raises:
            JournalError: nothing was sent, since it could not be recorded.
            NotBroadcast: nothing was signed, due to a limit, too much in flight, or expensive
                gas.
            ForeignKeyUse: another party used a nonce of this key.
        """
        async with self._lock:
            self._head = head
            await self._refuse_faulty()
            self.tracker.refuse_untimely(head)
            await self._refuse_held(head)
            self._refuse_unsettled()
            market, nonce, *_ = await asyncio.gather(
                readable("the fees", self.fees.market(head)),
                self._fetch_next_nonce(head),
                self.tracker.check_canonical(head),
                self.refresh_limit(head),
            )
            able = affordable(
                batches,
                market,
                self.fees.policy,
                list(self.tracker.book.values()),
                head=head,
                most=self.max_in_flight,
                consumed=self.tracker.consumed,
                subset=self.caps.subset,
            )
            smaller = partial(self._fit, market, head)
            allowed = smaller(able)
            reached("K2")
            taken = list[Batch]()
            if allowed:
                work = self._dispatcher.dispatch(allowed, nonce, head, news, smaller)
                taken = await seen_through(work)
            await self._persist_tripped(head)
            if not taken:
                raise NotBroadcast(self.guard.held or self.caps.reason())
            return taken

    def _fit(self, market: FeeMarket, head: Head, priced: Sequence[Priced]) -> list[Priced]:
        """Fit the transactions to the nodes' caps and to the limits."""
        price = partial(opening_fees, market=market, policy=self.fees.policy)
        tracker = self.tracker
        room = max(0, free_nonces(tracker.bound(), tracker.consumed, self.max_in_flight))
        fitting = self.caps.fit(priced, price, market, head)[:room]
        return self.guard.allowed(fitting, self.tracker, head, self.caps.parts(price))[:room]

    async def refresh_limit(self, head: Head, *, after: int = LIMIT_BLOCKS) -> None:
        """Refresh the limit of nonces in flight, since the account may be delegated meanwhile."""
        if self.limit is None or head.number < self._limited_at + after:  # mutation: F21 limit
            return
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                self.max_in_flight = await self.limit(head)
        except (ChainError, TimeoutError) as error:  # the previous limit most likely still holds
            log.warning("limit_unread block=%d reason=%s", head.number, error or "no answer")
            return
        self._limited_at = head.number

    async def _persist_tripped(self, head: Head) -> None:
        """Persist the tripped breaker. The allowed transactions were sent already."""
        try:
            await self.guard.keep(head)
        except JournalError as error:
            self._recording.note_failure(error)

    async def _refuse_faulty(self) -> None:
        if not await self._recording.is_working():
            raise NotBroadcast(self.fault)

    async def order(
        self, to: Address | None, calldata: bytes, gas_limit: Gas, head: Head
    ) -> Submission:
        """Record and send a transaction of an operator. ``to`` None creates a contract.

        It takes the next nonce and is followed like any other transaction.

        Raises:
            JournalError: nothing was sent, since it could not be recorded.
            NotBroadcast: nothing was signed, due to an unsettled nonce or expensive gas.
            ForeignKeyUse: another party used a nonce of this key.
        """
        async with self._lock:
            self._head = head
            await self._refuse_faulty()
            self._refuse_unsettled()
            market, nonce = await asyncio.gather(
                readable("the fees", self.fees.market(head)), self._fetch_next_nonce(head)
            )
            fees = market_fees(market, self.fees.policy)
            if fees is None:
                raise NotBroadcast(f"the base fee {market.base_fee} wei is above the setting's")
            wanted = Unsigned(nonce=nonce, to=to, calldata=calldata, gas_limit=gas_limit, fees=fees)
            attempt = self.replacer.attempt(wanted, AttemptKind.SEND, head)
            bound = Submission(nonce=nonce, batch=None, attempts=(attempt,))
            await seen_through(self._dispatcher.record_and_send([bound], head))
            return bound

    async def _fetch_next_nonce(self, head: Head) -> int:
        """Return the next intent's nonce, if the chain's count agrees with the journal."""
        tracker = self.tracker
        count = await readable("the nonce", tracker.early.fetch_count(tracker.chain, head))
        await tracker.check_known(count)
        water = await tracker.journal.high_water()
        settled = tracker.settled(water)
        if count < settled:
            raise NotBroadcast(
                f"the node knows {count} of {settled} final transactions: it lags, or lost them"
            )
        return next_nonce(water, count, tracker.journal.first_nonce)

    async def follow(self, head: Head, still_unhealthy: StillUnhealthy) -> None:
        """Follow every open nonce by its receipt, then cancel, bump or resend it, lowest first.

        The reads delay no send. Only their consequences are ordered with sends by the lock. If the
        chain or the journal fails, recorded attempts are resent nevertheless.

        Raises:
            ForeignKeyUse: another party used a nonce of this key.
            ChainError: the chain could not be read. Nothing was changed.
            JournalError: an event could not be persisted. Nothing was signed after that.
        """
        async with self._lock:
            self._head = head
            if not await self._recording.is_working():
                await self._dispatcher.send(self.tracker.bound(), head)
                return
        try:
            seen = None if await self.tracker.quiet(head) else await self.tracker.look(head)
            async with self._lock:
                await self._apply_observation(seen, head, still_unhealthy)
        except (ChainError, JournalError) as error:
            async with self._lock:
                if isinstance(error, JournalError):
                    self._recording.note_failure(error)
                await self._dispatcher.send(self.tracker.bound(), head)
            raise

    async def _apply_observation(
        self, seen: Observation | None, head: Head, still_unhealthy: StillUnhealthy
    ) -> None:
        """Act on an observation. None if there is nothing to follow."""
        tracker = self.tracker
        count = None if seen is None else await tracker.apply(seen)
        await self._takeback.hold(self.guard, head)
        if not tracker.untimely(head):  # windows and deadlines do not follow another time
            await self.guard.observe(tracker, head)
            if count is not None and self._may_replace(head):
                await self.replacer.fill(head, count)
                await self._dispatcher.release_refused(self._list_unused(count), head)
                alone = frozenset(self.broadcast.unfunded | self.broadcast.refused)
                await self.replacer.renew(self._list_unused(count), head, still_unhealthy, alone)
        if count is not None:  # mutation: G5 resend
            await self.broadcast.send(self._list_unused(count), head)

    async def bump(self, nonce: int, *, tip: Wei | None = None) -> str:
        """Replace a nonce's transaction now, with ``tip`` if the head allows. Returns the hash."""
        async with self._lock:
            head = await self._get_command_head(nonce)
            if tip is None or self._may_replace(head):
                await self.replacer.ordered(nonce, head, AttemptKind.BUMP, tip=tip)
            await self.broadcast.send([self.tracker.book[nonce]], head)
            return str(self.tracker.book[nonce].newest.hash)

    async def cancel(self, nonce: int) -> str:
        """Replace a bound nonce's transaction by an empty one and return its hash."""
        async with self._lock:
            head = await self._get_command_head(nonce)
            await self.replacer.ordered(nonce, head, AttemptKind.CANCEL, by_hand=True)
            if self.tracker.book[nonce].newest.kind is not AttemptKind.CANCEL:
                raise NotBroadcast("a cancellation would bid more than policy.max_fee_gwei")
            await self.broadcast.send([self.tracker.book[nonce]], head)
            return str(self.tracker.book[nonce].newest.hash)

    async def pause(self) -> None:
        """Hold new batches until ``reset``, also in later processes.

        Raises:
            JournalError: it could not be persisted.
        """
        async with self._lock:
            await self.guard.pause(self._head)

    async def reset(self, breaker: str) -> None:
        """Close a breaker. ConfigError if none of that name is open."""
        async with self._lock:
            await self.guard.reset(breaker, self._head)
            if breaker == Breaker.FINALITY:
                self._takeback.accept()

    @property
    def fault(self) -> str:
        """Reason why the journal cannot be written. Empty while it can."""
        return self._recording.fault

    @property
    def held(self) -> str:
        """Reason why a limit holds new batches, or held some of the last ones, else empty."""
        return self.guard.held

    @property
    def paused(self) -> bool:
        """Whether nothing new is sent, by a limit or by an operator."""
        return bool(self.guard.refusal())

    @property
    def hindrance(self) -> str:
        """Reason why nothing new may be signed, apart from the limits. Empty if it may."""
        if self.fault or self.tracker.finality.violated:
            return self.fault or self.tracker.finality.violated
        if self.tracker.unexplained:
            nonce = min(self.tracker.unexplained)
            return f"nonce {nonce} was used, and its receipt is not there yet"
        return self.tracker.unread or self.caps.halted()

    async def _get_command_head(self, nonce: int) -> Head:
        """Return the head to act at. Raises if the nonce cannot be replaced."""
        await self._refuse_faulty()
        if self._head is None or nonce not in {one.nonce for one in self.tracker.bound()}:
            raise ConfigError(f"nonce {nonce} is not waiting", hint="see `keeper tx list`")
        return self._head

    def _may_replace(self, head: Head) -> bool:
        """Return whether this head allows bumps and cancellations."""
        return not (self.tracker.untimely(head) or self.guard.is_open(Breaker.FINALITY))

    def _list_unused(self, count: int) -> list[Submission]:
        return [one for one in self.tracker.bound() if one.nonce >= count]

    async def _refuse_held(self, head: Head) -> None:
        """Raise NotBroadcast if a limit still holds all transactions after a new observation."""
        if not self.guard.refusal():
            return
        try:
            await self.tracker.observe(head)
        except ChainError as error:
            raise NotBroadcast(f"{self.guard.refusal()}, and the chain cannot be read") from error
        await self.guard.observe(self.tracker, head)
        if self.guard.refusal():
            raise NotBroadcast(self.guard.refusal())

    def _refuse_unsettled(self) -> None:
        """Raise NotBroadcast if another nonce would not help or cannot be used."""
        if self.hindrance:
            raise NotBroadcast(self.hindrance)
        unfunded = self.broadcast.unfunded & {one.nonce for one in self.tracker.bound()}
        if unfunded:
            raise NotBroadcast(
                f"{self.signer.address} cannot pay for nonce {min(unfunded)}: top it up"
            )
