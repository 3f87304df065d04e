"""Outcome of our mined transaction, also where its receipt omits fields.

Price, success and logs follow from the signed transaction, the block and its logs. Unstated gas
counts as the whole gas limit.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from keeper.chain.records import Receipt, SeenTransaction
from keeper.domain.errors import ChainError, RpcMalformed
from keeper.domain.head import Head
from keeper.domain.reads import Log, LogFilter
from keeper.domain.submission import Attempt, AttemptKind, Fees
from keeper.domain.units import BlockHash, Gas, TransactionHash, Wei

log = logging.getLogger(__name__)


@runtime_checkable
class ReadsBlockLogs(Protocol):
    """A chain that has a block's logs beside its receipts."""

    async def block_logs(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Return the logs of one block, by hash."""
        ...


@runtime_checkable
class SeesTransactions(Protocol):
    """A chain that knows transactions beside their receipts."""

    async def transaction(self, transaction: TransactionHash) -> SeenTransaction | None:
        """Return a transaction, mined or pending. None if the node does not know it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Outcome of a mined transaction with its success, gas, price and logs."""

    receipt: Receipt
    success: bool
    gas_used: Gas
    gas_price: Wei
    logs: tuple[Log, ...]


def effective_gas_price(fees: Fees, base_fee: Wei) -> Wei:
    """Compute the price per gas of an EIP-1559 transaction at this base fee.

    Source: ethereum/execution-specs ``check_transaction`` (london and later).
    """
    tip = min(fees.priority_fee, fees.max_fee - base_fee)
    return Wei(base_fee + max(0, tip))


async def settle(chain: object, receipt: Receipt, attempt: Attempt, block: Head) -> Settlement:
    """Return the attempt's outcome in its block, as stated or as derived.

    Raises:
        ChainError: its logs are read elsewhere and cannot be read now.
        RpcMalformed: nothing shows whether it succeeded.
    """
    logs = receipt.logs
    if logs is None:
        logs = await _fetch_logs(chain, receipt, attempt)
    gas_used, gas_price = receipt.gas_used, receipt.gas_price
    success = receipt.success
    if success is None:
        success = _derive_success(attempt, logs, gas_used)
    if gas_price is None:
        gas_price = effective_gas_price(attempt.fees, block.base_fee)
    if gas_used is None:
        log.warning(
            "gas_used_unstated nonce=%d hash=%s booked=%d",
            attempt.nonce,
            attempt.hash,
            attempt.gas_limit,
        )
        gas_used = attempt.gas_limit
    return Settlement(
        receipt=receipt, success=success, gas_used=gas_used, gas_price=gas_price, logs=logs or ()
    )


def _derive_success(attempt: Attempt, logs: Sequence[Log] | None, gas_used: Gas | None) -> bool:
    """Derive whether a transaction succeeded if its receipt does not state it.

    An empty transfer to oneself succeeds. A call of our contracts logs something or fails. For any
    other transaction a log shows success, and gas use up to the limit shows failure.
    """
    if attempt.kind is AttemptKind.CANCEL:
        return True
    if logs:
        return True
    if gas_used is not None and gas_used >= attempt.gas_limit:
        return False
    if logs is not None and attempt.to is not None:
        return False
    raise RpcMalformed(f"no node says how {attempt.hash} ended")


async def _fetch_logs(chain: object, receipt: Receipt, attempt: Attempt) -> tuple[Log, ...] | None:
    """Fetch the transaction's logs through its block's. None if the chain has no such read."""
    if attempt.kind is AttemptKind.CANCEL or attempt.to is None:
        return ()
    if not isinstance(chain, ReadsBlockLogs):
        return None
    wanted = LogFilter(addresses=(attempt.to,), topics=())
    found = await chain.block_logs(wanted, receipt.block_hash)
    return tuple(one for one in found if one.transaction_hash == attempt.hash)


async def fetch_unreceipted(chain: object, attempt: Attempt) -> Receipt | None:
    """Build a receipt with only the block of a mined transaction.

    None if no block has it, or the chain cannot read transactions. It replaces a receipt that
    cannot be read.
    """
    if not isinstance(chain, SeesTransactions):
        return None
    try:
        seen = await chain.transaction(attempt.hash)
    except ChainError:
        return None
    if seen is None or seen.block_number is None or seen.block_hash is None:
        return None
    return Receipt(
        transaction_hash=attempt.hash,
        block_hash=seen.block_hash,
        block_number=seen.block_number,
        sender=seen.sender,
        to=attempt.to,
    )
