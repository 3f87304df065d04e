"""Fetches headers of blocks by hash, by number, or the newest. A missing header is an error."""

from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

from keeper.chain.awaiting import BlockId
from keeper.chain.fields import Json, document, hash32, head_of, quantity
from keeper.chain.refusal import is_unknown_block
from keeper.domain.errors import BlockUnknown, RpcBusy, RpcMalformed, RpcRefused
from keeper.domain.head import Head
from keeper.domain.units import BlockHash

T = TypeVar("T")
BY_HASH: Final = "eth_getBlockByHash"
BY_NUMBER: Final = "eth_getBlockByNumber"
HEIGHT: Final = "eth_blockNumber"
ONLY_HASHES: Final = False
"""The parameter that leaves the transactions out."""


class Asks(Protocol):
    """Sends a request to one endpoint once."""

    async def ask(self, at: int, method: str, *params: object) -> Json:
        """Return the result of a method."""
        ...


class Reads(Asks, Protocol):
    """Sends requests to endpoints until one answers."""

    async def read_with(
        self, ask: Callable[[int], Awaitable[T]], *, block: BlockId = None, only: int | None = None
    ) -> T:
        """Return the result of ``ask`` for an endpoint."""
        ...


async def read_header(rpc: Reads, block: BlockId, *, only: int | None = None) -> Json:
    """Fetch a header, with patience while its block is young. BlockUnknown if there is none."""
    return await rpc.read_with(lambda place: ask_header(rpc, place, block), block=block, only=only)


async def read_head(rpc: Reads, block: BlockId, *, only: int | None = None) -> Head:
    """Fetch a checked header. A missing or a different one does not count as an answer."""

    async def ask(place: int) -> Head:
        head = head_of(await ask_header(rpc, place, block))
        if block is not None and block not in (head.number, head.hash):
            raise RpcMalformed("the node returned another block")
        return head

    return await rpc.read_with(ask, block=block, only=only)


async def ask_header(rpc: Asks, place: int, block: BlockId) -> Json:
    """Fetch a header from one endpoint, once.

    If the newest one is missing, it is requested by the node's block number.

    Raises:
        BlockUnknown: the node has no such block.
    """
    if isinstance(block, str):
        header = await _ask(rpc, place, BY_HASH, block)
    elif block is not None:
        header = await _ask(rpc, place, BY_NUMBER, hex(block))
    else:
        header = await _ask(rpc, place, BY_NUMBER, "latest")
        if header is None:
            header = await _ask(rpc, place, BY_NUMBER, await _ask_newest_number(rpc, place))
    if header is None:
        shown = "its newest block" if block is None else f"block {block}"
        raise BlockUnknown(f"the node does not know {shown}")
    return header


async def canonical_hash(rpc: Asks, place: int, number: int) -> BlockHash | None:
    """Fetch the hash of an endpoint's block at a height. None if it has none."""
    header = await _ask(rpc, place, BY_NUMBER, hex(number))
    if header is None:
        return None
    return BlockHash(hash32(document(header, "the block").get("hash"), "the block's hash"))


async def _ask(rpc: Asks, place: int, method: str, named: str) -> Json:
    """Fetch a header, or None in all variants of a node's refusal."""
    try:
        return await rpc.ask(place, method, named, ONLY_HASHES)
    except RpcRefused as error:
        if not is_unknown_block(error):
            raise
        return None


async def ask_height(rpc: Asks, place: int) -> int:
    """Fetch the number of an endpoint's newest block, by its count or by its header."""
    try:
        return quantity(await rpc.ask(place, HEIGHT), "the block's number")
    except (RpcMalformed, RpcRefused, RpcBusy):
        header = document(await _ask(rpc, place, BY_NUMBER, "latest"), "the block")
        return quantity(header.get("number"), "the block's number")


async def _ask_newest_number(rpc: Asks, place: int) -> str:
    try:
        return hex(quantity(await rpc.ask(place, HEIGHT), "the block's number"))
    except (RpcMalformed, RpcRefused):
        raise BlockUnknown("the node does not know its newest block") from None
