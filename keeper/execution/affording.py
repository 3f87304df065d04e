"""Which batches may be sent now, and with what fees."""

import logging
from collections.abc import Sequence

from keeper.domain.errors import NotBroadcast
from keeper.domain.head import Head
from keeper.domain.plan import Batch
from keeper.domain.submission import Fees, NonceState, Submission
from keeper.execution.fees import FeeMarket, FeePolicy, opening_fees

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
) -> list[tuple[Batch, Fees]]:
    """
    Return the batches that may be sent, in order, with their fees.

    ``open_`` are the nonces that are not final, of which ``most`` may wait for a block; the
    ``consumed`` ones do not, though nothing more is known of them. An
    account has one transaction at a time: its next round begins at a block that is not older
    than the one which has its last.

    Raises:
        NotBroadcast: none may, and why.
    """
    bound = [one for one in open_ if one.state is NonceState.BOUND]
    room = most - len([one for one in bound if one.nonce not in consumed])
    busy = {subject for one in bound for subject in one.accounts}
    busy |= {
        subject
        for one in open_
        if one.inclusion is not None and one.inclusion.block_number > head.number
        for subject in one.accounts
    }
    priced = [
        (one, opening_fees(one, market, policy))
        for one in batches
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
