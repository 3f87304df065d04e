"""Receipts and transactions, as far as the keeper needs them."""

from collections.abc import Callable
from dataclasses import dataclass

from keeper.chain.fields import UINT64_MAX, Json, address, document, hash32, quantity
from keeper.domain.errors import RpcMalformed
from keeper.domain.reads import Log
from keeper.domain.units import Address, BlockHash, Gas, TransactionHash, Wei

_NOTHING = Wei(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """
    What a mined transaction did.

    ``gas_price`` is what was paid per gas, tip included; ``data_fee`` what an OP-stack rollup
    took beside the gas (``l1Fee`` of its receipts).
    ``sender`` and ``to`` are None where the node does not say; ``to`` also for a new contract.
    """

    transaction_hash: TransactionHash
    block_hash: BlockHash
    block_number: int
    success: bool
    gas_used: Gas
    gas_price: Wei
    contract: Address | None
    logs: tuple[Log, ...]
    data_fee: Wei = _NOTHING
    sender: Address | None = None
    to: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTransaction:
    """A transaction that the node knows; the block is None while it waits."""

    hash: TransactionHash
    sender: Address
    nonce: int
    block_number: int | None
    block_hash: BlockHash | None


def receipt_of(
    value: Json, transaction: TransactionHash, logs_of: Callable[[Json], list[Log]]
) -> Receipt | None:
    """Return the receipt of ``transaction``; None while its block is not sealed."""
    raw = document(value, "the receipt")
    if hash32(raw.get("transactionHash"), "the receipt's transaction") != transaction:
        raise RpcMalformed("the node returned another transaction's receipt")
    if raw.get("blockHash") is None:
        return None
    created, sender, to = (raw.get(name) for name in ("contractAddress", "from", "to"))
    return Receipt(
        transaction_hash=transaction,
        block_hash=BlockHash(hash32(raw["blockHash"], "the receipt's block hash")),
        block_number=quantity(raw.get("blockNumber"), "the receipt's block", most=UINT64_MAX),
        success=bool(quantity(raw.get("status"), "the receipt's status", most=1)),
        gas_used=Gas(quantity(raw.get("gasUsed"), "the receipt's gas", most=UINT64_MAX)),
        gas_price=Wei(quantity(raw.get("effectiveGasPrice"), "the receipt's gas price")),
        contract=None if created is None else address(created, "the new contract"),
        logs=tuple(logs_of(raw.get("logs"))),
        data_fee=Wei(quantity(raw.get("l1Fee") or "0x0", "the receipt's data fee")),
        sender=None if sender is None else address(sender, "the receipt's sender"),
        to=None if to is None else address(to, "the receipt's target"),
    )


def transaction_of(value: Json, transaction: TransactionHash) -> SeenTransaction:
    """Return what the node knows of ``transaction``."""
    raw = document(value, "the transaction")
    if hash32(raw.get("hash"), "the transaction's hash") != transaction:
        raise RpcMalformed("the node returned another transaction")
    block = raw.get("blockHash")
    mined = block is not None
    return SeenTransaction(
        hash=transaction,
        sender=address(raw.get("from"), "the transaction's sender"),
        nonce=quantity(raw.get("nonce"), "the transaction's nonce", most=UINT64_MAX),
        block_number=quantity(raw.get("blockNumber"), "the transaction's block", most=UINT64_MAX)
        if mined
        else None,
        block_hash=BlockHash(hash32(block, "the transaction's block hash")) if mined else None,
    )
