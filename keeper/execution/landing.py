"""Block and fee fields of a simulation, as the next block will have them.

A hostile token or oracle may detect a simulation by a zero gas price or base fee, a missing
coinbase or missing randomness. So a simulation uses the next block's number and time, its base fee
by EIP-1559, the newest block's coinbase, unpredictable randomness, and the fees that will be
offered.
"""

import secrets
from collections.abc import Mapping

from keeper.domain.head import Basis, Head
from keeper.domain.plan import Batch
from keeper.domain.units import Gas, Wei
from keeper.execution.fees import next_base_fee

_RANDOM_BYTES = 32


def landing_block(head: Head, *, seconds: int, gas_limit: Gas) -> Mapping[str, str]:
    """Build the overrides for the block after ``head``, with a limit of at least ``gas_limit``."""
    return {
        "number": hex(head.number + 1),
        "time": hex(head.timestamp + seconds),
        "gasLimit": hex(max(head.gas_limit, gas_limit)),
        "baseFeePerGas": hex(expected_base_fee(head)),
        "feeRecipient": head.miner,
        "prevRandao": "0x" + secrets.token_hex(_RANDOM_BYTES),
    }


def landing_basis(head: Head, *, seconds: int, gas_limit: Gas) -> Basis:
    """Build the state of ``head`` under the overrides of the block after it."""
    overrides = landing_block(head, seconds=seconds, gas_limit=gas_limit)
    return Basis(block_hash=head.hash, landing=tuple(overrides.items()))


def expected_base_fee(head: Head) -> Wei:
    """Compute the base fee of the block after ``head`` by EIP-1559's own parameters."""
    return next_base_fee(base_fee=head.base_fee, gas_used=head.gas_used, gas_limit=head.gas_limit)


def landing_fees(batch: Batch, head: Head) -> Mapping[str, str]:
    """Build a batch's fee fields, from the price of its plans plus their bids."""
    gas = max(1, sum(plan.gas for plan in batch.plans))
    bid = sum(plan.bid for plan in batch.plans) // gas
    base_fee = expected_base_fee(head)
    price = max(base_fee + 1, max((plan.gas_price for plan in batch.plans), default=0) + bid)
    return fee_fields(Wei(price - base_fee), head)


def fee_fields(tip: Wei, head: Head) -> Mapping[str, str]:
    """Build the fee fields of a transaction with a given tip in the block after ``head``."""
    most = max(expected_base_fee(head), head.base_fee) + tip
    return {"maxFeePerGas": hex(most), "maxPriorityFeePerGas": hex(tip)}


def tip_within(price: Wei, head: Head) -> Wei:
    """Compute the priority fee within an effective gas price of the block after ``head``."""
    return Wei(max(0, price - expected_base_fee(head)))
