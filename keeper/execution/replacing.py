"""Signs what takes a nonce's place: higher bids, cancellations, and what fills a gap."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from keeper.domain.errors import ChainError, NotBroadcast
from keeper.domain.head import Head
from keeper.domain.plan import Batch, Plan, SimulatedBatch
from keeper.domain.submission import Attempt, AttemptKind, Fees, Submission
from keeper.domain.units import Address, MarketKey, Wei
from keeper.execution.caps import (
    CANCEL_GAS,
    Stake,
    cancellation_cap,
    ceiling,
    has_waiting,
    shared_cap,
    stake,
)
from keeper.execution.chain import Signer
from keeper.execution.failpoints import reached
from keeper.execution.fees import FeeMarket, FeeOracle, bumped, fee_cap, market_fees
from keeper.execution.send_caps import SendCaps
from keeper.execution.signer import Unsigned
from keeper.execution.tracker import Tracker
from keeper.strategy.rounds import drop_unled

log = logging.getLogger(__name__)

StillUnhealthy = Callable[[MarketKey, Address], bool]
Rehearse = Callable[[Sequence[Batch], Head], Awaitable[Sequence[SimulatedBatch]]]
"""Runs batches one after the other on top of a block, without sending; may raise ChainError."""

_WORKS: Final = ""
REHEARSE_SECONDS: Final = 4.0
"""How long a bump waits for its simulation: sends of others wait as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Round:
    """
    One look at the bound nonces, lowest first.

    ``earning`` has, for every nonce that acts, its plans that still would work.
    """

    head: Head
    bound: Sequence[Submission]
    due: frozenset[int]
    earning: Mapping[int, Sequence[Plan]]
    market: FeeMarket | None
    queue: list[Stake]
    by_hand: bool = False


@dataclass(slots=True, kw_only=True)
class Replacer:
    """
    Makes attempts and records them; what it made is sent with everything else.

    ``rehearse`` None trusts every plan whose account is still unhealthy.
    """

    signer: Signer
    tracker: Tracker
    fees: FeeOracle
    bump_after_blocks: int
    rehearse: Rehearse | None = None
    caps: SendCaps = field(default_factory=SendCaps)
    _capped: set[int] = field(default_factory=set)

    def attempt(self, wanted: Unsigned, kind: AttemptKind, head: Head) -> Attempt:
        """Sign a transaction; NotBroadcast where the signer will not."""
        signed = self.signer.sign(wanted)
        return Attempt(
            nonce=wanted.nonce,
            kind=kind,
            hash=signed.hash,
            raw=signed.raw,
            fees=wanted.fees,
            gas_limit=wanted.gas_limit,
            to=wanted.to,
            calldata=wanted.calldata,
            block_number=head.number,
        )

    def opened(self, nonce: int, batch: Batch, fees: Fees, head: Head) -> Submission:
        """Sign the first transaction of a batch."""
        wanted = Unsigned(
            nonce=nonce,
            to=batch.executor,
            calldata=batch.calldata,
            gas_limit=batch.gas_limit,
            fees=fees,
        )
        attempt = self.attempt(wanted, AttemptKind.SEND, head)
        return Submission(nonce=nonce, batch=batch, attempts=(attempt,))

    def cancellation(self, nonce: int, fees: Fees, head: Head) -> Attempt:
        """Sign a transfer of nothing that takes a nonce, at these fees."""
        wanted = Unsigned(
            nonce=nonce, to=self.signer.address, calldata=b"", gas_limit=CANCEL_GAS, fees=fees
        )
        return self.attempt(wanted, AttemptKind.CANCEL, head)

    async def fill(self, head: Head, count: int) -> None:
        """
        Bind and record a transfer of nothing for every nonce that was skipped.

        Only below the journal's own high water: above it no nonce is ours yet.
        """
        journal, book = self.tracker.journal, self.tracker.book
        water = await journal.high_water()
        first = max(count, journal.first_nonce)
        if water is None or all(nonce in book for nonce in range(first, water + 1)):
            return
        missing = await journal.unbound(first, water)  # mutation: F20 nonce-hole
        market = await self._market(head) if missing else None
        if market is None:
            return
        fees = market_fees(market, self.fees.policy)
        if fees is None:
            log.warning("gap_not_filled nonce=%d base_fee=%d", missing[0], market.base_fee)
            return
        signed = [self.cancellation(nonce, fees, head) for nonce in missing]
        fillers = [Submission(nonce=one.nonce, batch=None, attempts=(one,)) for one in signed]
        log.warning("gap_filled nonces=%s block=%d", missing, head.number)
        reached("K3")
        await journal.record(fillers)
        reached("K4")
        book.update((one.nonce, one) for one in fillers)

    async def renew(
        self,
        bound: Sequence[Submission],
        head: Head,
        still_unhealthy: StillUnhealthy,
        left_alone: frozenset[int] = frozenset(),
    ) -> None:
        """
        Replace what is due, lowest first: dearer where it still pays, by nothing where it does not.

        Those ``left_alone`` are not bid up: the account could not pay for them, or every node
        refuses them for good. They only ever end.
        """
        due = {one.nonce for one in bound if self._is_due(one, head)} - left_alone
        earning = await self._earning(bound, head, still_unhealthy, due)
        needed = due or not all(earning.values())
        now = _Round(
            head=head,
            bound=bound,
            due=frozenset(due),
            earning=earning,
            market=await self._market(head) if needed else None,
            queue=[stake(one, earning.get(one.nonce, ())) for one in bound],
        )
        for at, one in enumerate(bound):
            kind = self._wanted(now, at)
            if kind is None:
                continue
            try:
                made = await self._replaced(now, at, kind)
            except NotBroadcast as error:  # its old bytes still are the best offer
                log.warning("not_replaced nonce=%d reason=%s", one.nonce, error)
                continue
            now.queue[at] = stake(made, earning.get(one.nonce, ()))

    async def ordered(
        self,
        nonce: int,
        head: Head,
        kind: AttemptKind,
        *,
        by_hand: bool = False,
        tip: Wei | None = None,
    ) -> None:
        """
        Replace a nonce's transaction now, within the cap; with at least a ``tip``, if one is given.

        What a person cancels may cost up to the policy's ceiling.
        """
        market = await self._market(head)
        if market is not None and tip is not None:
            market = replace(market, priority_fee=Wei(max(tip, market.priority_fee)))
        bound = self.tracker.bound()
        at = next(place for place, one in enumerate(bound) if one.nonce == nonce)
        earning = {one.nonce: one.batch.plans for one in bound if one.batch is not None}
        now = _Round(
            head=head,
            bound=bound,
            due=frozenset(),
            earning=earning,
            market=market,
            queue=[stake(one, earning.get(one.nonce, ())) for one in bound],
            by_hand=by_hand,
        )
        cancelled = bound[at].newest.kind is AttemptKind.CANCEL
        await self._replaced(now, at, AttemptKind.CANCEL if cancelled else kind)

    def _is_due(self, one: Submission, head: Head) -> bool:
        # mutation: F18 stuck
        return head.number - one.newest.block_number >= self.bump_after_blocks

    async def _earning(
        self,
        bound: Sequence[Submission],
        head: Head,
        still_unhealthy: StillUnhealthy,
        due: set[int],
    ) -> dict[int, list[Plan]]:
        """Return the plans that still would work, by nonce, for every nonce that acts."""
        earning = {
            one.nonce: [
                plan
                for plan in one.batch.plans
                if not expired(one, head) and still_unhealthy(plan.market, plan.account)
            ]
            for one in bound
            if one.batch is not None and one.newest.kind is not AttemptKind.CANCEL
        }
        acting = [one for one in bound if earning.get(one.nonce)]
        # mutation: G19 simulate-again
        if self.rehearse is None or not any(one.nonce in due for one in acting):
            return earning
        batches = [one.batch for one in acting if one.batch is not None]
        try:
            async with asyncio.timeout(REHEARSE_SECONDS):
                found = await self.rehearse(batches, head)
        except (ChainError, TimeoutError) as error:
            log.warning("not_rehearsed block=%d reason=%s", head.number, error or "no answer")
            return earning
        for one, batch, answer in zip(acting, batches, found, strict=True):
            working = list[Plan]()
            for plan, failure in zip(batch.plans, _failures(batch, answer), strict=True):
                if failure == _WORKS:
                    working.append(plan)
                    continue
                log.info(
                    "plan_fails nonce=%d account=%s reason=%s", one.nonce, plan.account, failure
                )
            unhealthy = {(plan.market, plan.account) for plan in earning[one.nonce]}
            earning[one.nonce] = [
                plan
                for plan in drop_unled(batch.plans, working)
                if (plan.market, plan.account) in unhealthy
            ]
        return earning

    def _wanted(self, now: _Round, at: int) -> AttemptKind | None:
        """Return what should take a nonce's place now; None where nothing should."""
        one = now.bound[at]
        earning = now.earning.get(one.nonce)
        if earning is not None and not earning:
            return AttemptKind.CANCEL
        if one.nonce not in now.due:
            return None
        if one.newest.kind is AttemptKind.CANCEL:
            return AttemptKind.CANCEL
        if one.batch is not None and now.market is not None and has_waiting(now.queue, at):
            own = fee_cap(one.batch, self.fees.policy, earning)
            spent = bumped(one.newest.fees, own, self.fees.policy, now.market) is None
            if own <= now.market.base_fee or spent:
                return AttemptKind.CANCEL
        return AttemptKind.BUMP

    async def _replaced(self, now: _Round, at: int, kind: AttemptKind) -> Submission:
        """Record a replacement with higher fees; at the cap nothing changes."""
        one = now.bound[at]
        newest, cancelling = one.newest, kind is AttemptKind.CANCEL
        cap = self._cap(now, at, cancelling=cancelling)
        fees = bumped(newest.fees, cap, self.fees.policy, now.market)
        if fees is None:
            level = logging.DEBUG if one.nonce in self._capped else logging.WARNING
            self._capped.add(one.nonce)
            log.log(
                level, "fee_cap_reached nonce=%d cap=%d block=%d", one.nonce, cap, now.head.number
            )
            return one
        self._capped.discard(one.nonce)
        wanted = Unsigned(
            nonce=one.nonce,
            to=self.signer.address if cancelling else newest.to,
            calldata=b"" if cancelling else newest.calldata,
            gas_limit=CANCEL_GAS if cancelling else newest.gas_limit,
            fees=fees,
        )
        attempt = self.attempt(wanted, kind, now.head)
        reached("K3")
        await self.tracker.journal.add_attempt(attempt)
        reached("K4")
        made = replace(one, attempts=(*one.attempts, attempt))
        self.tracker.book[one.nonce] = made
        return made

    def _cap(self, now: _Round, at: int, *, cancelling: bool) -> Wei:
        policy, one, market = self.fees.policy, now.bound[at], now.market
        if cancelling:
            if now.by_hand or one.batch is None:
                return policy.max_fee
            return Wei(min(policy.max_fee, cancellation_cap(now.queue, at, one)))
        most = ceiling(policy, None if market is None else market.base_fee + market.priority_fee)
        taken = self.caps.most_fee(one.newest.gas_limit)
        most = most if taken is None else Wei(min(most, taken))
        if one.batch is None:
            return most
        # What is mined nets the minimum by itself: others pay for a cancellation only.
        own = fee_cap(one.batch, policy, now.earning.get(one.nonce))
        return Wei(min(most, own, shared_cap(now.queue, at)))

    async def _market(self, head: Head) -> FeeMarket | None:
        try:
            return await self.fees.market(head)
        except ChainError as error:
            log.warning("fees_unknown block=%d reason=%s", head.number, error)
            return None


def expired(submission: Submission, head: Head) -> bool:
    """Whether the executor would refuse it in any block from here on."""
    batch = submission.batch
    acting = batch is not None and submission.newest.kind is not AttemptKind.CANCEL
    # mutation: G10 past-deadline
    return acting and batch is not None and head.timestamp >= batch.deadline


def _failures(batch: Batch, answer: SimulatedBatch) -> list[str]:
    """Return why each plan would fail, empty where it works; all of them as the transaction."""
    if not answer.plans:
        return [answer.failure or "reverts"] * len(batch.plans)
    return [outcome.failure for _, outcome in zip(batch.plans, answer.plans, strict=True)]
