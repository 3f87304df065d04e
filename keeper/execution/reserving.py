"""
What a transaction can really cost: the gas it was simulated with, at what the next blocks ask.

Its gas limit has room that is not used, and its ceiling is twice the base fee, so that limits
which counted both held transactions that nobody could ever have paid for. What waits is counted
anew at each head, at that head's base fee.
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
"""By how much a base fee rises at the most in two blocks (EIP-1559)."""

Subset = Callable[[Batch, Sequence[Plan]], Batch | None]
"""Makes a transaction of some of a batch's plans; None where there can be none that pays."""


def no_subset(batch: Batch, plans: Sequence[Plan]) -> Batch | None:  # noqa: ARG001 (the type's)
    """Make none."""
    return None


def base_fee_reserved(head: Head) -> Wei:
    """Return the base fee that is reckoned with: the next block's after two full ones more."""
    return Wei(mul_div_ceil(expected_base_fee(head), *TWO_FULL_BLOCKS))


def batch_cost(batch: Batch, fees: Fees, base_fee: Wei) -> Wei:
    """Return what a batch can cost where a block asks ``base_fee``."""
    return Wei(_gas(batch, batch.gas_limit) * _price(fees, base_fee) + batch.data_fee)


def in_flight_cost(bound: Sequence[Submission], base_fee: Wei) -> Wei:
    """
    Return what these nonces can cost: of each one's attempts only one is mined, the dearest.

    What nobody has cannot be mined.
    """
    return Wei(sum(_dearest(submission, base_fee) for submission in bound))


def priced_parts(
    subset: Subset, price: Callable[[Batch], Fees | None], batch: Batch, count: int
) -> list[Priced]:
    """Return a batch's first ``count`` plans and the others as two transactions with their fees."""
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
    """
    Return a batch divided after as many plans as cost no more than ``room``.

    Nothing where not even the first one does. More plans cost more, so it is searched by halves.
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
    """Return what the smallest part of a batch can cost: room for that is room for something."""
    first = parts(batch, 1) if len(batch.plans) > 1 else ()
    return batch_cost(*(first[0] if first else (batch, fees)), base_fee)


def _dearest(submission: Submission, base_fee: Wei) -> int:
    batch = submission.batch
    costs = [0]
    for attempt in submission.attempts:
        if attempt.state is AttemptState.RELEASED:
            continue
        gas, data_fee = attempt.gas_limit, 0
        if batch is not None and attempt.kind is not AttemptKind.CANCEL:
            gas, data_fee = _gas(batch, attempt.gas_limit), batch.data_fee
        costs.append(gas * _price(attempt.fees, base_fee) + data_fee)
    return max(costs)


def _gas(batch: Batch, limit: Gas) -> Gas:
    return Gas(min(limit, gas_at_most(sum(plan.gas for plan in batch.plans))))


def _price(fees: Fees, base_fee: Wei) -> int:
    return min(fees.max_fee, base_fee + fees.priority_fee)
