"""The newest final block, if nodes support the tag."""

from typing import Final

from keeper.chain.capabilities import Capability
from keeper.chain.fields import head_of
from keeper.chain.headers import BY_NUMBER, ONLY_HASHES
from keeper.chain.optional import read_optional
from keeper.chain.rpc import Rpc
from keeper.domain.errors import BlockUnknown, RpcMalformed
from keeper.domain.head import Head

FINALIZED: Final = "finalized"
YOUNG_CHAIN_BLOCKS: Final = 512
"""In so many blocks a chain may have finalized nothing but its first one."""


async def ask_finalized(rpc: Rpc, endpoint: int) -> Head:
    """Fetch the newest final block of one endpoint, once.

    Raises:
        BlockUnknown: it has none.
        RpcMalformed: it calls the first block final, long after it.
        RpcRefused: it does not support the tag.
    """
    answer = await rpc.ask(endpoint, BY_NUMBER, FINALIZED, ONLY_HASHES)
    if answer is None:
        raise BlockUnknown("the node knows no finalized block")
    head, newest = head_of(answer), rpc.pool.current
    # mutation: F14 final-first-block
    if head.number == 0 and newest is not None and newest.number >= YOUNG_CHAIN_BLOCKS:
        raise RpcMalformed(f"the node calls block 0 final, and is at block {newest.number}")
    return head


async def read_finalized(rpc: Rpc) -> Head | None:
    """Fetch the newest final block from the first endpoint that has one. None if none has."""
    return await read_optional(
        rpc, Capability.FINALIZED, lambda endpoint: ask_finalized(rpc, endpoint)
    )
