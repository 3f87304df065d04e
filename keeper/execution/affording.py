"""Which batches may be sent now, and with what fees."""

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
    """
    Return the batches that may be sent, in order, with their fees.

    ``open_`` are the nonces that are not final, of which ``most`` may wait for a block; the
    ``consumed`` ones do not, though nothing more is known of them. An
    account has one transaction at a time: its next round begins at a block that is not older
    than the one which has its last. Plans that pull a batch below what the next block asks are
    left out of it: ``subset`` makes one of the others.

    Raises:
        NotBroadcast: none may, and why.
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
        _priced(one, market, policy, subset)
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


def _priced(
    batch: Batch, market: FeeMarket, policy: FeePolicy, subset: Subset
) -> tuple[Batch, Fees | None]:
    """Return a batch with its fees; where all of it cannot pay, those plans that can by themselves.

    Each one left out leaves the others more of the pools that both sell to.
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
    """Return how many more transactions may wait for a block; ``most`` may in all."""
    # mutation: G12 most-in-flight
    return most - len([one for one in bound if one.nonce not in consumed])
