"""Fetches the headers of a range, several in one message."""

from collections.abc import Sequence

from keeper.chain.batching import BatchRead
from keeper.chain.fields import Json, head_of
from keeper.chain.headers import BY_NUMBER, ONLY_HASHES
from keeper.chain.rpc import Rpc
from keeper.domain.errors import ChainError, RpcMalformed
from keeper.domain.head import Head


async def read_heads(rpc: Rpc, numbers: Sequence[int]) -> list[Head]:
    """Fetch checked headers of blocks. BlockUnknown if one is missing.

    Malformed headers are fetched again, from another endpoint if there is one.
    """
    requests = [(BY_NUMBER, (hex(number), ONLY_HASHES)) for number in numbers]
    batches: dict[int, BatchRead] = {}

    async def ask(place: int) -> list[Head]:
        batch = batches.setdefault(place, BatchRead(rpc, lambda _: requests, needs_results=True))
        answers = await batch.ask(place)
        try:
            return [_check_head(*pair) for pair in zip(answers, numbers, strict=True)]
        except RpcMalformed:
            del batches[place]
            raise

    heads = await rpc.read_with(ask, block=numbers[0])
    for head in heads:
        rpc.pool.blocks.note(head)
    return heads


def _check_head(answer: Json | ChainError, number: int) -> Head:
    if isinstance(answer, ChainError):
        raise answer
    head = head_of(answer)
    if head.number != number:
        raise RpcMalformed("the node returned another block")
    return head
