"""
What a nonce may cost, with the profit that waits behind it.

Nonces are consumed in order, so a stuck one holds up everything behind it: what those will
earn may pay for it. Pure.
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
"""What a transfer of nothing to oneself takes."""
REVERT_GAS: Final = Gas(60_000)
"""
What a transaction takes that the executor undoes at its first check, at least.

A cancellation is worth as much as that, where nobody waits behind it.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """
    One bound nonce in the queue: what it may still earn, and what it has bid.

    ``gas`` is expected, ``gas_limit`` the most that is reckoned with. ``surplus`` is what of
    the profit may go into expected gas, ``profit`` all of it; both are 0 where the nonce earns
    nothing any more.
    """

    gas: int
    gas_limit: int
    surplus: int
    profit: int
    max_fee: int


def stake(submission: Submission, earning: Sequence[Plan]) -> Stake:
    """
    Return a nonce's place in the queue; ``earning`` are its plans that still would work.

    What a person ordered is the person's to pay: it neither gives nor takes.
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
    """
    Return the most per unit of gas that the nonce at a place of the queue may bid.

    Its own profit pays, and what the nonces behind it will have left after their own bids.
    What lower nonces overdrew is taken off. Where everybody bids within this, all bids
    together never cost more than all profits. ``gas`` is that of a transaction in its place
    that earns nothing, as a cancellation.
    """
    one = queue[at]
    expected, most = (one.gas, one.gas_limit) if gas is None else (gas, gas)
    surpluses = [each.surplus for each in queue]
    profits = [each.profit for each in queue]
    if gas is not None:
        surpluses[at] = profits[at] = 0
    by_expected = _available(surpluses, [each.gas * each.max_fee for each in queue], at)
    by_most = _available(profits, [each.gas_limit * each.max_fee for each in queue], at)
    return Wei(min(by_expected // max(expected, 1), by_most // max(most, 1)))


def cancellation_cap(queue: Sequence[Stake], at: int, submission: Submission) -> Wei:
    """
    Return the most per unit of gas that a nonce's cancellation may bid.

    The queue pays. Where nothing waits, it is worth what the reverted transaction would
    have cost. Nothing but the policy's ceiling bounds what fills a gap.
    """
    waiting = shared_cap(queue, at, gas=CANCEL_GAS)
    acting = [one.fees.max_fee for one in submission.attempts if one.kind is not AttemptKind.CANCEL]
    return Wei(max(waiting, max(acting, default=0) * REVERT_GAS // CANCEL_GAS))


def has_waiting(queue: Sequence[Stake], at: int) -> bool:
    """Whether something that earns waits behind a nonce."""
    return any(one.surplus > 0 for one in queue[at + 1 :])


def ceiling(policy: FeePolicy, market_price: int | None) -> Wei:
    """
    Return the most that may be bid whatever is earned: in gwei, and as a multiple of the market.

    ``market_price`` is the next base fee and what others tip; None where nobody knows.
    """
    if market_price is None:
        return policy.max_fee
    return Wei(min(policy.max_fee, market_price * policy.max_multiple))


def _available(values: Sequence[int], costs: Sequence[int], at: int) -> int:
    """Return what the nonce at a place may cost in all."""
    overdrawn = 0
    for value, cost in zip(values[:at], costs[:at], strict=True):
        overdrawn = max(0, overdrawn + cost - value)
    behind = max(0, sum(values[at + 1 :]) - sum(costs[at + 1 :]))
    return max(0, values[at] + behind - overdrawn)
