"""Reads that all see one block, on nodes that pin by hash and on those that cannot."""

import enum
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from keeper.chain.fields import head_of
from keeper.chain.refusal import refusal_kind
from keeper.chain.refusal_kinds import RefusalKind
from keeper.chain.rpc import Rpc
from keeper.domain.errors import RpcRefused, RpcUnavailable, SnapshotReorged
from keeper.domain.units import BlockHash

T = TypeVar("T")
BlockParameter = str | dict[str, object]

ATTEMPTS: Final = 8
INVALID_REQUEST: Final = frozenset({-32600, -32602})
_SIGNS: Final = ("invalid argument", "cannot unmarshal", "unknown field", "unsupported block")


class PinMode(enum.IntEnum):
    """How this node is told the block, best first."""

    CANONICAL = 0
    HASH = 1
    NUMBER = 2


class Pinning:
    """Finds out once, of each endpoint, how it takes a block's hash."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._modes: dict[int, PinMode] = {}
        self._proven: set[int] = set()

    @property
    def mode(self) -> PinMode:
        """How the endpoint that is asked now is told the block."""
        return self._modes.get(self._rpc.pool.active, PinMode.CANONICAL)

    async def at(self, block_hash: BlockHash, ask: Callable[[BlockParameter], Awaitable[T]]) -> T:
        """
        Return what ``ask`` returns when told the block.

        Raises:
            SnapshotReorged: the block is not canonical, or was not when the answer came.
        """
        for _ in range(ATTEMPTS):
            place, mode = self._rpc.pool.active, self.mode
            if mode is PinMode.NUMBER:
                with self._rpc.only(place):  # another one's block of that number is another block
                    return await self._by_number(block_hash, ask)
            try:
                answer = await ask(_parameter(block_hash, mode))
            except RpcRefused as error:
                if not _concerns_the_block(error):
                    raise
                if self._rpc.pool.active != place:
                    continue  # another endpoint was asked in its place: by its own mode, then
                if place in self._proven:
                    raise
                self._modes[place] = PinMode(mode + 1)
            else:
                if self._rpc.pool.active == place:
                    self._proven.add(place)
                return answer
        raise RpcUnavailable("the endpoints change too often")

    async def at_endpoint(
        self, place: int, block_hash: BlockHash, ask: Callable[[BlockParameter], Awaitable[T]]
    ) -> T:
        """
        Return what one endpoint answers when told the block in the form that it is known to take.

        Nothing is learnt of the form: an optional method may be refused for reasons of its own.
        """
        mode = self._modes.get(place, PinMode.CANONICAL)
        with self._rpc.only(place):
            while mode is not PinMode.NUMBER:
                try:
                    return await ask(_parameter(block_hash, mode))
                except RpcRefused as error:
                    if place in self._proven or not _concerns_the_block(error):
                        raise
                    mode = PinMode(mode + 1)
            return await self._by_number(block_hash, ask)

    async def _by_number(
        self, block_hash: BlockHash, ask: Callable[[BlockParameter], Awaitable[T]]
    ) -> T:
        number = await self._canonical_number(block_hash)
        answer = await ask(hex(number))
        await self._canonical_number(block_hash)
        return answer

    async def _canonical_number(self, block_hash: BlockHash) -> int:
        block = await self._rpc.read("eth_getBlockByHash", block_hash, False)  # noqa: FBT003 - JSON-RPC: hashes only
        if block is None:
            raise SnapshotReorged("the node does not know the pinned block")
        number = head_of(block).number
        canonical = await self._rpc.read("eth_getBlockByNumber", hex(number), False)  # noqa: FBT003 - as above
        if canonical is None or head_of(canonical).hash != block_hash:
            raise SnapshotReorged("the pinned block is no longer canonical")
        return number


def _parameter(block_hash: BlockHash, mode: PinMode) -> BlockParameter:
    if mode is PinMode.CANONICAL:
        return {"blockHash": block_hash, "requireCanonical": True}
    return {"blockHash": block_hash}


def _concerns_the_block(error: RpcRefused) -> bool:
    """Whether the form of the block is refused; what has another known meaning is not."""
    if refusal_kind(error) is not RefusalKind.OTHER:
        return False
    said = error.text.lower()
    return error.number in INVALID_REQUEST or any(sign in said for sign in _SIGNS)
