"""Possible cost of a transaction, from its simulated gas and the next blocks' base fee.

Its gas limit has unused room and its maximum fee is twice the base fee. Limits that counted both
held transactions that could never have cost as much. Pending transactions are counted again at each
head, at its base fee.
"""

from collections.abc import Callable, Sequence
from typing import Final

from keeper.domain.head import Head
from keeper.domain.plan import Batch, Plan
from keeper.domain.submission import AttemptKind, AttemptState, Fees, Submission
from keeper.domain.units import Gas, Wei, mul_div_ceil
from keeper.execution.guard import Parts, Priced
from keeper.execution.landing import expected_base_fee
from keeper.strategy.gas import gas_at_most

TWO_FULL_BLOCKS: Final = (81, 64)
"""Highest rise of a base fee in two blocks (EIP-1559)."""

Subset = Callable[[Batch, Sequence[Plan]], Batch | None]
"""Builds a transaction of some of a batch's plans. None if it would not pay."""


def no_subset(batch: Batch, plans: Sequence[Plan]) -> Batch | None:  # noqa: ARG001 (the type's)
    """Build no subset."""
    return None


def base_fee_reserved(head: Head) -> Wei:
    """Compute the base fee assumed for reservations, the next one after two more full blocks."""
    return Wei(mul_div_ceil(expected_base_fee(head), *TWO_FULL_BLOCKS))


def batch_cost(batch: Batch, fees: Fees, base_fee: Wei) -> Wei:
    """Compute the possible cost of a batch at a base fee."""
    return Wei(
        _compute_gas(batch, batch.gas_limit) * _compute_price(fees, base_fee) + batch.data_fee
    )


def in_flight_cost(bound: Sequence[Submission], base_fee: Wei) -> Wei:
    """Compute the possible cost of these nonces, each by its most expensive attempt.

    Of a nonce's attempts only one is mined. Released attempts are held by no node and do not count.
    """
    return Wei(sum(_compute_highest_cost(submission, base_fee) for submission in bound))


def priced_parts(
    subset: Subset, price: Callable[[Batch], Fees | None], batch: Batch, count: int
) -> list[Priced]:
    """Split a batch after ``count`` plans into two transactions with their fees."""
    parts = list[Priced]()
    for plans in (batch.plans[:count], batch.plans[count:]):
        part = subset(batch, plans)
        fees = None if part is None else price(part)
        if part is not None and fees is not None:
            parts.append((part, fees))
        elif not parts:
            break  # the others were simulated after these
    return parts


def largest_within(batch: Batch, room: Wei, base_fee: Wei, parts: Parts) -> Sequence[Priced]:
    """Split a batch after as many plans as cost no more than ``room``.

    Empty if even the first plan costs more. More plans cost more, so the search bisects.
    """
    fitting: Sequence[Priced] = ()
    low, high = 1, len(batch.plans) - 1
    while low <= high:
        count = (low + high) // 2
        divided = parts(batch, count)
        if divided and batch_cost(*divided[0], base_fee) <= room:
            fitting, low = divided, count + 1
        else:
            high = count - 1
    return fitting


def least_cost(batch: Batch, fees: Fees, base_fee: Wei, parts: Parts) -> Wei:
    """Compute the possible cost of the smallest part of a batch."""
    first = parts(batch, 1) if len(batch.plans) > 1 else ()
    return batch_cost(*(first[0] if first else (batch, fees)), base_fee)


def _compute_highest_cost(submission: Submission, base_fee: Wei) -> int:
    batch = submission.batch
    costs = [0]
    for attempt in submission.attempts:
        if attempt.state is AttemptState.RELEASED:
            continue
        gas, data_fee = attempt.gas_limit, 0
        if batch is not None and attempt.kind is not AttemptKind.CANCEL:
            gas, data_fee = _compute_gas(batch, attempt.gas_limit), batch.data_fee
        costs.append(gas * _compute_price(attempt.fees, base_fee) + data_fee)
    return max(costs)


def _compute_gas(batch: Batch, limit: Gas) -> Gas:
    return Gas(min(limit, gas_at_most(sum(plan.gas for plan in batch.plans))))


def _compute_price(fees: Fees, base_fee: Wei) -> int:
    return min(fees.max_fee, base_fee + fees.priority_fee)
