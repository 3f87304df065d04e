"""Pending transactions, if a node shows them in its pending block."""

from dataclasses import dataclass

from keeper.chain import fields
from keeper.chain.capabilities import Capability
from keeper.chain.fee_reads import tip_of
from keeper.chain.optional import read_optional
from keeper.chain.rpc import Rpc
from keeper.domain.errors import RpcMalformed
from keeper.domain.units import Wei


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingTransaction:
    """A pending transaction with its sender in lower case, its calldata and its tip per gas."""

    sender: str
    data: bytes
    tip: Wei


async def fetch_pending(rpc: Rpc) -> list[PendingTransaction] | None:
    """Fetch the transactions of a node's pending block. None if no node has one.

    Transactions with a missing or malformed field are left out.

    Raises:
        ChainError: an endpoint that has such a block is unreachable.
    """

    async def ask(place: int) -> list[PendingTransaction]:
        answer = await rpc.ask(place, "eth_getBlockByNumber", "pending", True)  # noqa: FBT003
        block = fields.document(answer, "the pending block")
        base_fee = Wei(fields.quantity(block.get("baseFeePerGas"), "the base fee"))
        found = list[PendingTransaction]()
        for stated in fields.sequence(block.get("transactions"), "the transactions"):
            try:
                transaction = fields.document(stated, "a transaction")
                found.append(
                    PendingTransaction(
                        sender=str(transaction.get("from")).lower(),
                        data=fields.data(transaction.get("input"), "the calldata"),
                        tip=tip_of(transaction, base_fee),
                    )
                )
            except RpcMalformed:
                continue
        return found

    return await read_optional(rpc, Capability.PENDING_TRANSACTIONS, ask)
