"""Pins reads to one block, on nodes that support pins by hash and on those that do not."""

import enum
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from keeper.chain.fields import head_of
from keeper.chain.headers import ask_header, canonical_hash
from keeper.chain.refusal import INVALID_REQUEST, refusal_kind
from keeper.chain.refusal_kinds import RefusalKind
from keeper.chain.rpc import Rpc
from keeper.domain.errors import BlockUnknown, NotCanonical, RpcRefused, SnapshotReorged
from keeper.domain.units import BlockHash

T = TypeVar("T")
BlockParameter = str | dict[str, object]

_SIGNS: Final = ("invalid argument", "cannot unmarshal", "unknown field", "unsupported block")


class PinMode(enum.IntEnum):
    """Form of the block parameter, best first."""

    CANONICAL = 0
    HASH = 1
    NUMBER = 2


class Pinning:
    """Learns the block form that each endpoint accepts, and pins reads to a block's hash."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._modes: dict[int, PinMode] = {}
        self._proven: set[int] = set()

    @property
    def mode(self) -> PinMode:
        """The block form for the endpoint in use."""
        return self._modes.get(self._rpc.pool.active, PinMode.CANONICAL)

    async def at(self, block_hash: BlockHash, ask: Callable[[BlockParameter], Awaitable[T]]) -> T:
        """Return the result of ``ask`` at the block.

        All reads of ``ask`` use one endpoint. If that does not have the block yet, or does not
        answer, ``ask`` is called again, for another endpoint if there is one.

        Raises:
            SnapshotReorged: another block is canonical in its place.
            BlockUnknown: no endpoint had the block in time.
        """
        return await self._rpc.read_with(
            lambda place: self._ask_pinned(place, block_hash, ask), block=block_hash
        )

    async def at_endpoint(
        self, place: int, block_hash: BlockHash, ask: Callable[[BlockParameter], Awaitable[T]]
    ) -> T:
        """Return one endpoint's answer with the block form that it is known to accept.

        The form is not learnt here, since an optional method may be refused for other reasons.
        """
        mode = self._modes.get(place, PinMode.CANONICAL)
        with self._rpc.only(place):
            while mode is not PinMode.NUMBER:
                try:
                    return await ask(_build_parameter(block_hash, mode))
                except RpcRefused as error:
                    if place in self._proven or not _is_block_form_refusal(error):
                        raise
                    mode = PinMode(mode + 1)
            return await self._ask_by_number(place, block_hash, ask)

    async def _ask_pinned(
        self, place: int, block_hash: BlockHash, ask: Callable[[BlockParameter], Awaitable[T]]
    ) -> T:
        """Ask one endpoint with the best block form that it accepts."""
        with self._rpc.only(place):
            while True:
                mode = self._modes.get(place, PinMode.CANONICAL)
                if mode is PinMode.NUMBER:
                    return await self._ask_by_number(place, block_hash, ask)
                try:
                    answer = await ask(_build_parameter(block_hash, mode))
                except NotCanonical:
                    await find_canonical(self._rpc, place, block_hash)
                    raise
                except RpcRefused as error:
                    if place in self._proven or not _is_block_form_refusal(error):
                        raise
                    self._modes[place] = PinMode(mode + 1)
                else:
                    self._proven.add(place)
                    return answer

    async def _ask_by_number(
        self, place: int, block_hash: BlockHash, ask: Callable[[BlockParameter], Awaitable[T]]
    ) -> T:
        number = await find_canonical(self._rpc, place, block_hash)
        try:
            answer = await ask(hex(number))
        except RpcRefused:
            if place not in self._proven:  # it was not the way of naming the block
                self._modes.pop(place, None)
            raise
        await find_canonical(self._rpc, place, block_hash)
        self._proven.add(place)
        return answer


async def find_canonical(rpc: Rpc, place: int, block_hash: BlockHash) -> int:
    """Return the number of a block that is canonical at an endpoint.

    Raises:
        SnapshotReorged: it has another block in its place.
        BlockUnknown: it has no block at that height.
    """
    number = rpc.pool.blocks.number_of(block_hash)
    if number is None:
        number = head_of(await ask_header(rpc, place, block_hash)).number
    canonical = await canonical_hash(rpc, place, number)
    if canonical is None:
        raise BlockUnknown(f"the node does not know block {number}")
    if canonical != block_hash:
        raise SnapshotReorged("the pinned block is no longer canonical")
    return number


def _build_parameter(block_hash: BlockHash, mode: PinMode) -> BlockParameter:
    if mode is PinMode.CANONICAL:
        return {"blockHash": block_hash, "requireCanonical": True}
    return {"blockHash": block_hash}


def _is_block_form_refusal(error: RpcRefused) -> bool:
    """Return whether the form of the block is refused, and not something else."""
    if refusal_kind(error) is not RefusalKind.OTHER:
        return False
    said = error.text.lower()
    return error.number in INVALID_REQUEST or any(sign in said for sign in _SIGNS)
