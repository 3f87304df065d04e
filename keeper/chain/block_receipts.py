"""All receipts of one block, in one answer or one by one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from keeper.chain import fields
from keeper.chain.batching import Reading
from keeper.chain.capabilities import Capability
from keeper.chain.fields import Json
from keeper.chain.headers import ask_header
from keeper.chain.rpc import Rpc
from keeper.domain.errors import ChainError, RpcBusy, RpcMalformed, RpcUnavailable

T = TypeVar("T")
Receipts = list[Mapping[str, Json]]

RECEIPT: Final = "eth_getTransactionReceipt"


async def read_block_receipts(rpc: Rpc, number: int, parse: Callable[[Receipts], T]) -> T:
    """Return the result of ``parse`` for a block's receipts, in the order of its transactions.

    If it raises RpcMalformed, they are read one by one, or from another endpoint.

    Raises:
        BlockUnknown: no endpoint has the block.
        RpcMalformed: a receipt is missing, or is one of another block.
        RpcRefused: the node returns receipts neither together nor singly.
    """
    return await rpc.read_with(lambda endpoint: _ask(rpc, endpoint, number, parse), block=number)


async def _ask(rpc: Rpc, endpoint: int, number: int, parse: Callable[[Receipts], T]) -> T:
    header = fields.document(await ask_header(rpc, endpoint, number), "the block")
    hashes = [
        fields.hash32(transaction, "a transaction's hash")
        for transaction in fields.sequence(header.get("transactions"), "the transactions")
    ]
    refused: ChainError | None = None
    if rpc.capabilities.has(endpoint, Capability.BLOCK_RECEIPTS):
        try:
            answer = await rpc.ask(endpoint, str(Capability.BLOCK_RECEIPTS), hex(number))
            parsed = parse(_check_receipts(fields.sequence(answer, "the receipts"), header, hashes))
        except ChainError as error:
            if isinstance(error, RpcUnavailable) and not isinstance(error, RpcBusy):
                raise
            refused = error
        else:
            rpc.capabilities.learn_success(endpoint, Capability.BLOCK_RECEIPTS)
            return parsed
    parsed = parse(
        _check_receipts(await _ask_singly(rpc, endpoint, hashes, refused), header, hashes)
    )
    if refused is not None:
        rpc.capabilities.learn_lack(endpoint, Capability.BLOCK_RECEIPTS, str(refused))
    return parsed


async def _ask_singly(
    rpc: Rpc, endpoint: int, hashes: Sequence[str], refused: ChainError | None
) -> list[Json]:
    """Fetch each receipt. If that is refused too, raise the first refusal."""
    requests = [(RECEIPT, (transaction,)) for transaction in hashes]
    receipts = list[Json]()
    for answer in await Reading(rpc, endpoint, requests).complete():
        if isinstance(answer, ChainError):
            raise refused or answer
        receipts.append(answer)
    return receipts


def _check_receipts(
    answer: Sequence[Json], header: Mapping[str, Json], hashes: Sequence[str]
) -> list[Mapping[str, Json]]:
    """Return the receipts if there is one of this block for each of its transactions."""
    receipts = [fields.document(receipt, "a receipt") for receipt in answer]
    block = header.get("hash")
    if len(receipts) != len(hashes):
        raise RpcMalformed("the receipts are not as many as the block's transactions")
    for receipt, transaction in zip(receipts, hashes, strict=True):
        if receipt.get("transactionHash", transaction) != transaction:
            raise RpcMalformed("a receipt is one of another transaction")
        if receipt.get("blockHash", block) != block:
            raise RpcMalformed("a receipt is one of another block")
    return receipts
