"""Our pending transactions, simulated before new batches as the chain will order them."""

from collections.abc import Mapping, Sequence

from keeper.domain.head import Head
from keeper.domain.submission import AttemptKind, Submission
from keeper.domain.units import Address
from keeper.execution.landing import expected_base_fee
from keeper.execution.tracker import Tracker


def acting_nonces(tracker: Tracker) -> list[Submission]:
    """Return the pending nonces that change state, lowest first.

    A cancellation changes only the sender's balance, and a released nonce is held by no node.
    """
    return [
        bound
        for bound in tracker.bound()
        if bound.nonce not in tracker.consumed
        and bound.newest.kind is not AttemptKind.CANCEL
        and not bound.is_released
    ]


def pending_calls(
    waiting: Sequence[Submission], sender: Address, head: Head
) -> list[Mapping[str, object]]:
    """Build the calls of the newest attempts, in order.

    Their maxFeePerGas is at least the next block's base fee. A transaction that has to wait longer
    is still mined before later nonces, and a node would refuse the whole simulation.
    """
    base_fee = expected_base_fee(head)
    calls = list[Mapping[str, object]]()
    for bound in waiting:
        newest = bound.newest
        most = max(newest.fees.max_fee, base_fee + newest.fees.priority_fee)
        target = {} if newest.to is None else {"to": newest.to}
        calls.append(
            {
                "from": sender,
                **target,
                "gas": hex(newest.gas_limit),
                "input": "0x" + newest.calldata.hex(),
                "maxFeePerGas": hex(most),
                "maxPriorityFeePerGas": hex(newest.fees.priority_fee),
            }
        )
    return calls
