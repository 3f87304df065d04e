"""Admission, selects the batches that may be sent now, with their fees."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace

from keeper.domain.errors import NotBroadcast
from keeper.domain.head import Head
from keeper.domain.plan import Batch
from keeper.domain.submission import Fees, NonceState, Submission
from keeper.execution.fees import FeeMarket, FeePolicy, fee_cap, opening_fees
from keeper.execution.reserving import Subset, no_subset
from keeper.strategy.rounds import drop_unled

log = logging.getLogger(__name__)


def affordable(
    batches: Sequence[Batch],
    market: FeeMarket,
    policy: FeePolicy,
    open_: Sequence[Submission],
    *,
    head: Head,
    most: int,
    consumed: frozenset[int] = frozenset(),
    subset: Subset = no_subset,
) -> list[tuple[Batch, Fees]]:
    """Select the batches that may be sent, in order, with their fees.

    ``open_`` are the nonces that are not final. At most ``most`` of them may be unmined. Nonces in
    ``consumed`` no longer count, although their receipts are not known yet. An account has one
    transaction at a time: its next one needs a head that is not older than the block of its last
    one. Where a batch cannot pay the next base fee, ``subset`` builds a batch of the plans that
    can.

    Raises:
        NotBroadcast: no batch may be sent, with the reason.
    """
    bound = [one for one in open_ if one.state is NonceState.BOUND]
    room = free_nonces(bound, consumed, most)
    busy = {subject for one in bound for subject in one.accounts}
    busy |= {
        subject
        for one in open_
        if one.inclusion is not None and one.inclusion.block_number > head.number
        for subject in one.accounts
    }
    priced = [
        _price_batch(one, market, policy, subset)
        for one in batches
        # mutation: G1 busy-account
        if not any((plan.market, plan.account) in busy for plan in one.plans)
    ]
    able = [(batch, fees) for batch, fees in priced if fees is not None][: max(room, 0)]
    if not able:
        why = (
            f"{most} transactions are in flight"
            if room <= 0
            else "a transaction about these accounts is in flight"
            if not priced
            else f"gas is too expensive: the base fee is {market.base_fee} wei"
        )
        raise NotBroadcast(why)
    if len(able) < len(batches):
        log.warning("batches_held back=%d sent=%d", len(batches) - len(able), len(able))
    return able


def _price_batch(
    batch: Batch, market: FeeMarket, policy: FeePolicy, subset: Subset
) -> tuple[Batch, Fees | None]:
    """Price a batch, reduced to the plans that can pay by themselves where all of it cannot.

    Each plan that is left out leaves more of the shared pools' depth to the other plans.
    """
    fees = opening_fees(batch, market, policy)
    if fees is not None:
        return batch, fees
    paying = [
        plan
        for plan in batch.plans
        if fee_cap(replace(batch, plans=(plan,)), policy) > market.base_fee
    ]
    paying = drop_unled(batch.plans, paying)
    part = subset(batch, paying) if paying and len(paying) < len(batch.plans) else None
    return (batch, None) if part is None else (part, opening_fees(part, market, policy))


def free_nonces(bound: Sequence[Submission], consumed: Collection[int], most: int) -> int:
    """Count the further transactions that may be in flight, ``most`` being the limit."""
    # mutation: G12 most-in-flight
    return most - len([one for one in bound if one.nonce not in consumed])
