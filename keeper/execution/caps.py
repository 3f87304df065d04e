"""Maximum fee of a nonce, including the profit of later queued nonces. Pure.

Nonces are consumed in order, so a stuck nonce delays all nonces behind it. Their profit may pay for
it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.plan import Plan
from keeper.domain.submission import AttemptKind, Submission
from keeper.domain.units import Gas, Wei
from keeper.execution.fees import FeePolicy, plan_profit, plan_surplus
from keeper.strategy.gas import gas_at_most

CANCEL_GAS: Final = Gas(21_000)
"""Gas of an empty transfer to oneself."""
REVERT_GAS: Final = Gas(60_000)
"""
Least gas of a transaction that the executor reverts at its first check.

A cancellation may cost as much where no later nonce waits behind it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """Value of one bound nonce in the queue, its possible earnings and its bid.

    ``gas`` is the expected gas, ``gas_limit`` the highest that is assumed. ``surplus`` is the part
    of the profit that may pay for expected gas, ``profit`` all of it. Both are 0 for a nonce that
    no longer earns.
    """

    gas: int
    gas_limit: int
    surplus: int
    profit: int
    max_fee: int


def stake(submission: Submission, earning: Sequence[Plan]) -> Stake:
    """Compute the value of a nonce from ``earning``, its plans that are still expected to work.

    A transaction that an operator ordered pays its own bid and neither shares nor uses profit.
    """
    newest, batch = submission.newest, submission.batch
    max_fee, limit = newest.fees.max_fee, newest.gas_limit
    if newest.kind is AttemptKind.CANCEL:
        return Stake(gas=limit, gas_limit=limit, surplus=0, profit=0, max_fee=max_fee)
    if batch is None:
        own = max_fee * limit
        return Stake(gas=limit, gas_limit=limit, surplus=own, profit=own, max_fee=max_fee)
    return Stake(
        gas=(gas := sum(plan.gas for plan in batch.plans)),
        gas_limit=gas_at_most(gas),
        surplus=sum(plan_surplus(plan) for plan in earning),
        profit=sum(plan_profit(plan) for plan in earning),
        max_fee=max_fee,
    )


def shared_cap(queue: Sequence[Stake], at: int, *, gas: Gas | None = None) -> Wei:
    """Compute the maximum fee per gas of the nonce at a place of the queue.

    Its own profit pays, and what later nonces have left after their own bids. Overdrafts of lower
    nonces are deducted. While all bids stay within this cap, they never cost more than all profits
    together. ``gas`` is the gas of a transaction in its place that earns nothing, such as a
    cancellation.
    """
    one = queue[at]
    expected, most = (one.gas, one.gas_limit) if gas is None else (gas, gas)
    surpluses = [each.surplus for each in queue]
    profits = [each.profit for each in queue]
    if gas is not None:
        surpluses[at] = profits[at] = 0
    by_expected = _compute_budget(surpluses, [each.gas * each.max_fee for each in queue], at)
    by_most = _compute_budget(profits, [each.gas_limit * each.max_fee for each in queue], at)
    return Wei(min(by_expected // max(expected, 1), by_most // max(most, 1)))


def cancellation_cap(queue: Sequence[Stake], at: int, submission: Submission) -> Wei:
    """Compute the maximum fee per gas of a nonce's cancellation.

    The queue pays. If nothing waits, it may cost as much as the reverted transaction would. A gap
    filler is bounded by the policy's hard cap only.
    """
    waiting = shared_cap(queue, at, gas=CANCEL_GAS)
    acting = [one.fees.max_fee for one in submission.attempts if one.kind is not AttemptKind.CANCEL]
    return Wei(max(waiting, max(acting, default=0) * REVERT_GAS // CANCEL_GAS))


def has_waiting(queue: Sequence[Stake], at: int) -> bool:
    """Return whether a nonce that earns waits behind a nonce."""
    return any(one.surplus > 0 for one in queue[at + 1 :])


def ceiling(policy: FeePolicy, market_price: int | None) -> Wei:
    """Compute the hard cap on a bid, in gwei and as a multiple of the market price.

    ``market_price`` is the next base fee plus the usual tip. None: unknown.
    """
    if market_price is None:
        return policy.max_fee
    return Wei(min(policy.max_fee, market_price * policy.max_multiple))


def _compute_budget(values: Sequence[int], costs: Sequence[int], at: int) -> int:
    """Compute the most that the nonce at a place may cost in total."""
    overdrawn = 0
    for value, cost in zip(values[:at], costs[:at], strict=True):
        overdrawn = max(0, overdrawn + cost - value)
    behind = max(0, sum(values[at + 1 :]) - sum(costs[at + 1 :]))
    return max(0, values[at] + behind - overdrawn)
