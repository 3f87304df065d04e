"""Headers of blocks, by hash, by number, or the newest. A header that is missing is an error."""

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
    """Asks one endpoint once."""

    async def ask(self, at: int, method: str, *params: object) -> Json:
        """Return the result of a method."""
        ...


class Reads(Asks, Protocol):
    """Asks endpoints until one answers."""

    async def read_with(
        self, ask: Callable[[int], Awaitable[T]], *, block: BlockId = None, only: int | None = None
    ) -> T:
        """Return what ``ask`` returns of an endpoint."""
        ...


async def read_header(rpc: Reads, block: BlockId, *, only: int | None = None) -> Json:
    """Return a header, waited for while its block is young; BlockUnknown where there is none."""
    return await rpc.read_with(lambda place: ask_header(rpc, place, block), block=block, only=only)


async def read_head(rpc: Reads, block: BlockId, *, only: int | None = None) -> Head:
    """Return a checked header; an endpoint that sends another one, or none, is no answer."""

    async def ask(place: int) -> Head:
        head = head_of(await ask_header(rpc, place, block))
        if block is not None and block not in (head.number, head.hash):
            raise RpcMalformed("the node returned another block")
        return head

    return await rpc.read_with(ask, block=block, only=only)


async def ask_header(rpc: Asks, place: int, block: BlockId) -> Json:
    """
    Ask one endpoint once for a header.

    Where the newest one is missing, it is asked for by the number that the node counts.

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
    """Return the hash of an endpoint's block of a height; None where it has none."""
    header = await _ask(rpc, place, BY_NUMBER, hex(number))
    if header is None:
        return None
    return BlockHash(hash32(document(header, "the block").get("hash"), "the block's hash"))


async def _ask(rpc: Asks, place: int, method: str, named: str) -> Json:
    """Return a header, or None in whatever words the node says that it has none."""
    try:
        return await rpc.ask(place, method, named, ONLY_HASHES)
    except RpcRefused as error:
        if not is_unknown_block(error):
            raise
        return None


async def ask_height(rpc: Asks, place: int) -> int:
    """Return the number of an endpoint's newest block: as it counts, else by its header."""
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
