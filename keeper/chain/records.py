"""Receipts and transactions with the fields that the keeper uses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from keeper.chain.fields import UINT64_MAX, Json, address, document, hash32, quantity
from keeper.domain.errors import RpcMalformed
from keeper.domain.reads import Log
from keeper.domain.units import Address, BlockHash, Gas, TransactionHash, Wei

_NOTHING = Wei(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A node's data of a mined transaction. Missing fields are None.

    ``gas_price`` is the price paid per gas, tip included. ``data_fee`` is an OP-stack rollup's fee
    apart from the gas (``l1Fee`` of its receipts). ``to`` is also None for a new contract,
    ``contract`` for a call.
    """

    transaction_hash: TransactionHash
    block_hash: BlockHash
    block_number: int
    success: bool | None = None
    gas_used: Gas | None = None
    gas_price: Wei | None = None
    contract: Address | None = None
    logs: tuple[Log, ...] | None = None
    data_fee: Wei = _NOTHING
    sender: Address | None = None
    to: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenTransaction:
    """A transaction that the node knows. The block is None while it is pending."""

    hash: TransactionHash
    sender: Address
    nonce: int
    block_number: int | None
    block_hash: BlockHash | None


def receipt_of(
    value: Json, transaction: TransactionHash, logs_of: Callable[[Json], list[Log]]
) -> Receipt | None:
    """Parse the receipt of ``transaction``. None while its block is not sealed.

    Older nodes and other chains omit fields, so only the block is required.
    """
    raw = document(value, "the receipt")
    named = raw.get("transactionHash")
    if named is not None and hash32(named, "the receipt's transaction") != transaction:
        raise RpcMalformed("the node returned another transaction's receipt")
    if raw.get("blockHash") is None:
        return None
    created, sender, to = (raw.get(name) for name in ("contractAddress", "from", "to"))
    status, price = raw.get("status"), raw.get("effectiveGasPrice")
    return Receipt(
        transaction_hash=transaction,
        block_hash=BlockHash(hash32(raw["blockHash"], "the receipt's block hash")),
        block_number=quantity(raw.get("blockNumber"), "the receipt's block", most=UINT64_MAX),
        success=None if status is None else bool(quantity(status, "the receipt's status", most=1)),
        gas_used=_parse_gas_used(raw),
        gas_price=None if price is None else Wei(quantity(price, "the receipt's gas price")),
        contract=None if created is None else address(created, "the new contract"),
        logs=_parse_logs(raw.get("logs"), logs_of),
        data_fee=Wei(quantity(raw.get("l1Fee") or "0x0", "the receipt's data fee")),
        sender=None if sender is None else address(sender, "the receipt's sender"),
        to=None if to is None else address(to, "the receipt's target"),
    )


def merged_receipts(receipts: Sequence[Receipt]) -> Receipt | None:
    """Merge several nodes' receipts of one transaction. None if two contradict each other."""
    stated: dict[str, Any] = {}
    for receipt in receipts:
        for field in fields(Receipt):
            value = getattr(receipt, field.name)
            unstated = value is None or (field.name == "data_fee" and not value)
            if not unstated and stated.setdefault(field.name, value) != value:
                return None
    return replace(receipts[0], **stated)


def _parse_gas_used(raw: Mapping[str, Json]) -> Gas | None:
    """Parse the gas used, for a block's first transaction also from the cumulative gas."""
    used = raw.get("gasUsed")
    if used is None and raw.get("transactionIndex") == "0x0":
        used = raw.get("cumulativeGasUsed")
    return None if used is None else Gas(quantity(used, "the receipt's gas", most=UINT64_MAX))


def _parse_logs(value: Json, logs_of: Callable[[Json], list[Log]]) -> tuple[Log, ...] | None:
    """Parse the logs. None if they are malformed, since they can be fetched elsewhere."""
    try:
        return None if value is None else tuple(logs_of(value))
    except RpcMalformed:
        return None


def transaction_of(value: Json, transaction: TransactionHash) -> SeenTransaction:
    """Parse the node's data of ``transaction``."""
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
