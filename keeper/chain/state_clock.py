"""Detects reads from an older block's state by the block time that is read with them.

A load-balanced server may answer for a block that it does not have yet from its newest state,
without an error. ``block.timestamp`` in that state is the older block's.
"""

from typing import Final

from keeper.chain.abi import WORD, selector
from keeper.chain.capabilities import Capability
from keeper.chain.pinned import PinnedReads
from keeper.chain.pinning import BlockParameter
from keeper.domain.errors import BlockUnknown, ChainError
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address

TIMESTAMP: Final = selector("getCurrentBlockTimestamp()")
"""Source: mds1/multicall ``Multicall3.getCurrentBlockTimestamp``."""
ANCESTORS: Final = 8
"""How far back the block is whose state an endpoint must have for its clock to be tested."""
DOUBT_SECONDS: Final = 10.0
"""For how long an endpoint that states older times throughout is taken to be late."""


class StateClock:
    """Compares the time in a block's state with that of its header."""

    def __init__(self, reads: PinnedReads, multicall: Address) -> None:
        self.call = Call(target=multicall, data=TIMESTAMP)
        self._reads = reads
        self._blocks = reads.rpc.pool.blocks
        self._proven: set[int] = set()
        self._doubted: dict[int, tuple[Head, float]] = {}

    async def refuse_stale(
        self, result: CallResult, endpoint: int, block: BlockParameter, basis: Basis
    ) -> None:
        """Check that the read with ``result`` used the state of the block.

        Raises:
            BlockUnknown: it used the state of an older block.
        """
        head = self._blocks.head_of(basis.block_hash)
        time = _decode_timestamp(result)
        if head is None or time is None or time >= head.timestamp:
            return
        if await self._is_right(endpoint, block, head):
            raise BlockUnknown(f"the node answered from an older state than block {head.number}'s")

    async def _is_right(self, endpoint: int, block: BlockParameter, head: Head) -> bool:
        """Return whether an endpoint states the right time for a block that it surely has.

        If it states the time of a still older block, it first counts as late, and the same block is
        requested again.
        """
        if endpoint in self._proven:
            return True
        capabilities, now = self._reads.rpc.capabilities, self._reads.rpc.pool.clock()
        ancestor = self._blocks.ancestor_of(head, ANCESTORS)
        ancestor, since = self._doubted.get(endpoint, (ancestor, now))
        if ancestor is None or not capabilities.has(endpoint, Capability.STATE_CLOCK):
            return False
        try:
            time = _decode_timestamp(await self._ask(endpoint, block, ancestor))
        except ChainError:
            return False
        if time == ancestor.timestamp:
            capabilities.learn_success(endpoint, Capability.STATE_CLOCK)
            self._proven.add(endpoint)
            return True
        is_of_older = time in self._blocks.times_before(ancestor, ANCESTORS)
        if is_of_older and now - since < DOUBT_SECONDS:
            self._doubted[endpoint] = ancestor, since
            return True
        self._doubted.pop(endpoint, None)
        reason = f"it states the time {time} in block {ancestor.number} of {ancestor.timestamp}"
        capabilities.learn_lack(endpoint, Capability.STATE_CLOCK, reason)
        return False

    async def _ask(self, endpoint: int, block: BlockParameter, ancestor: Head) -> CallResult:
        """Fetch the time in an ancestor's state, with the block form of the read."""
        named: BlockParameter = hex(ancestor.number)
        if isinstance(block, dict):
            named = {**block, "blockHash": ancestor.hash}
        transaction = {"to": self.call.target, "data": "0x" + self.call.data.hex()}
        basis = Basis(block_hash=ancestor.hash)
        raw = await self._reads.ask_call(endpoint, named, transaction, basis)
        return CallResult(success=True, data=raw)


def _decode_timestamp(result: CallResult) -> int | None:
    """Return the stated time. None if the contract does not state it."""
    if not result.success or len(result.data) != WORD:
        return None
    return int.from_bytes(result.data)
