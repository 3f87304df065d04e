"""What a pool knows of a transaction, and geth's rule for replacing one."""

from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_account.typed_transactions import TypedTransaction
from eth_hash.auto import keccak
from hexbytes import HexBytes

BUMP_PERCENT = 10
DYNAMIC_FEE = 2


@dataclass(frozen=True, slots=True)
class Pooled:
    """A transaction that was accepted: who, which nonce, for how much."""

    sender: str
    nonce: int
    max_fee: int
    tip: int
    gas: int
    raw: str
    hash: str


def bumped(fee: int) -> int:
    """Return the least fee that replaces ``fee``, rounded up."""
    return -(-fee * (100 + BUMP_PERCENT) // 100)


def pooled(raw: str) -> Pooled:
    """Return what an EIP-1559 transaction offers."""
    payload = HexBytes(raw)
    fields = TypedTransaction.from_bytes(payload).as_dict()
    assert fields["type"] == DYNAMIC_FEE
    return Pooled(
        sender=Account.recover_transaction(raw),
        nonce=fields["nonce"],
        max_fee=fields["maxFeePerGas"],
        tip=fields["maxPriorityFeePerGas"],
        gas=fields["gas"],
        raw=raw,
        hash="0x" + keccak(bytes(payload)).hex(),
    )


def waiting_document(kept: Pooled) -> dict[str, Any]:
    """Return a pooled transaction as a node tells it."""
    return {
        "hash": kept.hash,
        "from": kept.sender,
        "nonce": hex(kept.nonce),
        "blockHash": None,
        "blockNumber": None,
        "gas": hex(kept.gas),
        "maxFeePerGas": hex(kept.max_fee),
        "maxPriorityFeePerGas": hex(kept.tip),
    }
