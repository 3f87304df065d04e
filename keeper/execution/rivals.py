"""Rivals about to act on the same account, outbid by a higher tip in the same block.

The pending block is read while a nonce of ours is in flight. A rival is another party's transaction
with one of our accounts in its calldata and a tip at least as high. It is outbid up to a share of
the plans' profit, since it may be shown only to make others overpay.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.chain.pending_block import PendingTransaction
from keeper.domain.errors import KeeperError
from keeper.domain.submission import AttemptKind, Submission
from keeper.domain.units import BPS, Bps, Wei, mul_div_ceil, mul_div_floor

log = logging.getLogger(__name__)

OUTBID: Final = (9, 8)
"""Tip of an outbidding replacement as a ratio of the rival's."""


@dataclass(slots=True, kw_only=True)
class Rivals:
    """Finds rivals of pending nonces and outbids them.

    Nonces are mined in order, so lower pending nonces are raised along with the contested one. The
    tips above the first offers may cost ``share_bps`` of the contested plans' net profit. ``bound``
    lists the pending nonces, lowest first. ``bump`` replaces one with a tip.
    """

    sender: str
    share_bps: Bps
    bound: Callable[[], Sequence[Submission]]
    fetch: Callable[[], Awaitable[Sequence[PendingTransaction] | None]]
    bump: Callable[[int, Wei], Awaitable[object]]
    _conceded: set[tuple[int, Wei]] = field(default_factory=set)

    async def look(self) -> None:
        """Check once, without a request if no pending nonce acts. Errors wait for the next pass."""
        if not any(_is_acting(submission) for submission in self.bound()):
            self._conceded.clear()
            return
        try:
            seen = await self.fetch()
            for submission in self.bound() if seen else ():
                await self._raise_bid(submission, seen or ())
        except KeeperError as error:
            log.info("rivals_unseen reason=%s", error)

    async def _raise_bid(self, contested: Submission, seen: Sequence[PendingTransaction]) -> None:
        tip = self._find_highest_tip(contested, seen) if _is_acting(contested) else None
        if tip is None or (contested.nonce, tip) in self._conceded:
            return
        wanted = Wei(mul_div_ceil(tip, *OUTBID))
        queue = [one for one in self.bound() if one.nonce <= contested.nonce]
        lower = [one for one in queue if one.newest.fees.priority_fee < tip]
        if not lower:
            return
        cost, most = raising_cost(queue, wanted), affordable_cost(contested, self.share_bps)
        if cost > most:
            self._accept_loss(contested, tip, f"it would cost {cost} wei, {most} at most")
            return
        log.warning("rival_outbid nonce=%d tip=%d bid=%d", contested.nonce, tip, wanted)
        for submission in lower:
            await self.bump(submission.nonce, wanted)
            raised = {one.nonce: one.newest.fees.priority_fee for one in self.bound()}
            if raised.get(submission.nonce, wanted) <= tip:
                self._accept_loss(contested, tip, f"nonce {submission.nonce} is at its cap")
                return

    def _accept_loss(self, contested: Submission, tip: Wei, why: str) -> None:
        """Let a rival win, logged once."""
        self._conceded.add((contested.nonce, tip))
        log.warning("rival_not_outbid nonce=%d tip=%d reason=%s", contested.nonce, tip, why)

    def _find_highest_tip(
        self, submission: Submission, seen: Sequence[PendingTransaction]
    ) -> Wei | None:
        """Return the highest tip of a rival. None if no other party names an account of ours."""
        accounts = [bytes.fromhex(account[2:]) for _, account in submission.accounts]
        tips = [
            other.tip
            for other in seen
            if other.sender != self.sender.lower()
            and any(account in other.data for account in accounts)
        ]
        return max(tips, default=None)


def raising_cost(queue: Sequence[Submission], tip: Wei) -> Wei:
    """Compute the cost of raising all of these to a tip, above their first offers."""
    return Wei(
        sum(
            max(0, tip - submission.attempts[0].fees.priority_fee) * _get_gas(submission)
            for submission in queue
        )
    )


def affordable_cost(contested: Submission, share_bps: Bps) -> Wei:
    """Compute the share of a transaction's net profit that outbidding may cost."""
    plans = () if contested.batch is None else contested.batch.plans
    net = max(0, sum(plan.net_profit for plan in plans))
    return Wei(mul_div_floor(net, share_bps, BPS))


def _is_acting(submission: Submission) -> bool:
    return submission.newest.kind is not AttemptKind.CANCEL and bool(submission.accounts)


def _get_gas(submission: Submission) -> int:
    if submission.batch is None or not _is_acting(submission):
        return submission.newest.gas_limit
    return sum(plan.gas for plan in submission.batch.plans)
