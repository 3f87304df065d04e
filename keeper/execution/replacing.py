"""Signs replacements, cancellations and gap fillers."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from keeper.domain.errors import ChainError, NotBroadcast
from keeper.domain.head import Head
from keeper.domain.plan import Batch, Plan
from keeper.domain.submission import Attempt, AttemptKind, Fees, Submission
from keeper.domain.units import Address, Gas, MarketKey, Wei
from keeper.execution.bump_rehearsal import Rehearse, rehearse_bumps
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

log = logging.getLogger(__name__)

StillUnhealthy = Callable[[MarketKey, Address], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReplacementRound:
    """One pass over the bound nonces, lowest first.

    ``earning`` has the plans still expected to work, for every nonce that acts.
    """

    head: Head
    bound: Sequence[Submission]
    due: frozenset[int]
    earning: Mapping[int, Sequence[Plan]]
    market: FeeMarket | None
    queue: list[Stake]
    used: Mapping[int, Gas] = field(default_factory=dict)
    why: Mapping[int, str] = field(default_factory=dict)
    by_hand: bool = False


@dataclass(slots=True, kw_only=True)
class Replacer:
    """Signs and records attempts, which are sent along with all others.

    With ``rehearse`` None, every plan of a still unhealthy account is expected to work.
    """

    signer: Signer
    tracker: Tracker
    fees: FeeOracle
    bump_after_blocks: int
    rehearse: Rehearse | None = None
    caps: SendCaps = field(default_factory=SendCaps)
    _capped: set[int] = field(default_factory=set)

    def attempt(self, wanted: Unsigned, kind: AttemptKind, head: Head) -> Attempt:
        """Sign a transaction. NotBroadcast if the signer refuses."""
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
        """Sign an empty transfer that uses up a nonce, at these fees."""
        wanted = Unsigned(
            nonce=nonce, to=self.signer.address, calldata=b"", gas_limit=CANCEL_GAS, fees=fees
        )
        return self.attempt(wanted, AttemptKind.CANCEL, head)

    async def fill(self, head: Head, count: int) -> None:
        """Bind and record an empty transfer for every skipped nonce.

        Only nonces up to the journal's high water are filled. Higher ones are not ours yet.
        """
        journal, book = self.tracker.journal, self.tracker.book
        water = await journal.high_water()
        first = max(count, journal.first_nonce)
        if water is None or all(nonce in book for nonce in range(first, water + 1)):
            return
        missing = await journal.unbound(first, water)  # mutation: F20 nonce-hole
        market = await self._fetch_market(head) if missing else None
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
        """Replace due attempts, lowest first, by higher bids or by cancellations.

        An attempt that no longer pays is cancelled. Nonces in ``left_alone`` are not bid up,
        because the account could not pay for them or every node refuses them for good. They can
        only be cancelled.
        """
        due = {one.nonce for one in bound if self._is_due(one, head)} - left_alone
        earning = self._list_earning_plans(bound, head, still_unhealthy)
        now = _ReplacementRound(
            head=head,
            bound=bound,
            due=frozenset(due),
            earning=earning,
            market=await self._fetch_market(head) if due or not all(earning.values()) else None,
            queue=[stake(one, earning.get(one.nonce, ())) for one in bound],
        )
        now = await self._simulate_round(now, due)
        for at, one in enumerate(bound):
            kind = self._choose_kind(now, at)
            if kind is None:
                continue
            try:
                made = await self._replace(now, at, kind)
            except NotBroadcast as error:  # its present attempt is still the best offer
                log.warning("not_replaced nonce=%d reason=%s", one.nonce, error)
                continue
            now.queue[at] = stake(made, now.earning.get(one.nonce, ()))

    async def ordered(
        self,
        nonce: int,
        head: Head,
        kind: AttemptKind,
        *,
        by_hand: bool = False,
        tip: Wei | None = None,
    ) -> None:
        """Replace a nonce's transaction now, within the cap and with at least ``tip`` if given.

        A cancellation ordered by an operator may cost up to the policy's hard cap.
        """
        market = await self._fetch_market(head)
        if market is not None and tip is not None:
            market = replace(market, priority_fee=Wei(max(tip, market.priority_fee)))
        bound = self.tracker.bound()
        at = next(place for place, one in enumerate(bound) if one.nonce == nonce)
        earning = {one.nonce: one.batch.plans for one in bound if one.batch is not None}
        now = _ReplacementRound(
            head=head,
            bound=bound,
            due=frozenset(),
            earning=earning,
            market=market,
            queue=[stake(one, earning.get(one.nonce, ())) for one in bound],
            by_hand=by_hand,
        )
        if bound[at].newest.kind is AttemptKind.CANCEL:
            kind = AttemptKind.CANCEL
        # What left at this very block was simulated on it.
        if kind is AttemptKind.BUMP and bound[at].newest.block_number != head.number:
            now = await self._simulate_round(now, {nonce})
            if bound[at].batch is not None and not now.earning.get(nonce):
                reason = now.why.get(nonce, "its accounts need it no more")
                raise NotBroadcast(f"nonce {nonce} would fail in the next block: {reason}")
        await self._replace(now, at, kind)

    def _is_due(self, one: Submission, head: Head) -> bool:
        # mutation: F18 stuck
        return head.number - one.newest.block_number >= self.bump_after_blocks

    def _list_earning_plans(
        self, bound: Sequence[Submission], head: Head, still_unhealthy: StillUnhealthy
    ) -> dict[int, Sequence[Plan]]:
        """List each acting nonce's plans before their deadline for accounts that need them."""
        return {
            one.nonce: [
                plan
                for plan in one.batch.plans
                if not expired(one, head) and still_unhealthy(plan.market, plan.account)
            ]
            for one in bound
            if one.batch is not None and one.newest.kind is not AttemptKind.CANCEL
        }

    async def _simulate_round(
        self, now: _ReplacementRound, due: Collection[int]
    ) -> _ReplacementRound:
        """Return the pass with the plans that work at the fees to be offered."""
        acting = [one for one in now.bound if now.earning.get(one.nonce)]
        # mutation: G19 simulate-again
        if self.rehearse is None or not any(one.nonce in due for one in acting):
            return now
        offered = [
            self._build_offer(now, at) if one.nonce in due else one
            for at, one in enumerate(now.bound)
        ]
        found = await rehearse_bumps(self.rehearse, offered, now.earning, now.head)
        return replace(
            now,
            earning=found.earning,
            used=found.gas,
            why=found.why,
            queue=[stake(one, found.earning.get(one.nonce, ())) for one in now.bound],
        )

    def _build_offer(self, now: _ReplacementRound, at: int) -> Submission:
        """Return a pending nonce with the fees that its bump would have."""
        one = now.bound[at]
        cap = self._compute_cap(now, at, cancelling=False)
        fees = bumped(one.newest.fees, cap, self.fees.policy, now.market)
        newest = one.newest if fees is None else replace(one.newest, fees=fees)
        return replace(one, attempts=(*one.attempts[:-1], newest))

    def _choose_kind(self, now: _ReplacementRound, at: int) -> AttemptKind | None:
        """Choose the kind of a nonce's replacement. None if it is not replaced now."""
        one = now.bound[at]
        earning = now.earning.get(one.nonce)
        if earning is not None and not earning:
            return AttemptKind.CANCEL
        if one.nonce not in now.due:
            return None
        if one.newest.kind is AttemptKind.CANCEL:
            return AttemptKind.CANCEL
        if one.batch is not None and now.market is not None and has_waiting(now.queue, at):
            own = self._compute_own_cap(now, at)
            spent = bumped(one.newest.fees, own, self.fees.policy, now.market) is None
            if own <= now.market.base_fee or spent:
                return AttemptKind.CANCEL
        return AttemptKind.BUMP

    async def _replace(self, now: _ReplacementRound, at: int, kind: AttemptKind) -> Submission:
        """Sign and record a replacement with higher fees. At the cap nothing changes."""
        one = now.bound[at]
        newest, cancelling = one.newest, kind is AttemptKind.CANCEL
        cap = self._compute_cap(now, at, cancelling=cancelling)
        fees = bumped(newest.fees, cap, self.fees.policy, now.market)
        if fees is None:
            level = logging.DEBUG if one.nonce in self._capped else logging.WARNING
            self._capped.add(one.nonce)
            log.log(
                level,
                "fee_cap_reached nonce=%d cap=%d block=%d reason=%s",
                one.nonce,
                cap,
                now.head.number,
                self._explain_cap(now, at, cap, cancelling=cancelling),
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

    def _compute_cap(self, now: _ReplacementRound, at: int, *, cancelling: bool) -> Wei:
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
        return Wei(min(most, self._compute_own_cap(now, at), shared_cap(now.queue, at)))

    def _compute_own_cap(self, now: _ReplacementRound, at: int) -> Wei:
        """Compute the most that a nonce's own profit can pay at its simulated gas."""
        one = now.bound[at]
        if one.batch is None:
            return self.fees.policy.max_fee
        cap = fee_cap(one.batch, self.fees.policy, now.earning.get(one.nonce))
        planned = sum(plan.gas for plan in one.batch.plans)
        used = max(planned, now.used.get(one.nonce, 0))
        return Wei(cap * planned // used) if used else cap

    def _explain_cap(self, now: _ReplacementRound, at: int, cap: Wei, *, cancelling: bool) -> str:
        """Explain why a nonce's fee cannot rise."""
        wanted = f"its fee of {now.bound[at].newest.fees.max_fee} wei can rise to {cap} at most"
        if (
            not cancelling
            and now.bound[at].batch is not None
            and self._compute_own_cap(now, at) <= cap
        ):
            return f"{wanted}: the profit does not cover more"
        return f"{wanted}: the policy, the market or the node allows no more"

    async def _fetch_market(self, head: Head) -> FeeMarket | None:
        try:
            return await self.fees.market(head)
        except ChainError as error:
            log.warning("fees_unknown block=%d reason=%s", head.number, error)
            return None


def expired(submission: Submission, head: Head) -> bool:
    """Return whether the executor would refuse it in any block from this head on."""
    batch = submission.batch
    acting = batch is not None and submission.newest.kind is not AttemptKind.CANCEL
    # mutation: G10 past-deadline
    return acting and batch is not None and head.timestamp >= batch.deadline
