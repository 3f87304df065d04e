"""Expected time of the next block, by the node's pending block."""

from dataclasses import dataclass, field

from keeper.chain import fields
from keeper.chain.capabilities import Capability
from keeper.chain.optional import read_optional
from keeper.chain.rpc import Rpc
from keeper.composition.timing import bound_timestamp
from keeper.config import Settings
from keeper.domain.errors import ChainError
from keeper.domain.head import Head
from keeper.domain.units import Timestamp


@dataclass(slots=True, kw_only=True)
class NextBlock:
    """Reads the time of the next block and remembers its distance from the newest one."""

    settings: Settings
    rpc: Rpc
    _delay: int = field(default=1, init=False)

    async def fetch_timestamp(self, head: Head) -> Timestamp:
        """Return the next block's expected time by the node's clock, bounded by this machine's.

        An idle chain makes its next block now, not right after the head.
        """

        async def ask(endpoint: int) -> int:
            pending = await self.rpc.ask(endpoint, "eth_getBlockByNumber", "pending", False)  # noqa: FBT003 (JSON-RPC: hashes only)
            stated = fields.document(pending, "the pending block").get("timestamp")
            return fields.quantity(stated, "the pending timestamp")

        try:
            claimed = await read_optional(self.rpc, Capability.PENDING_BLOCK, ask)
        except ChainError:
            claimed = None
        timestamp = bound_timestamp(self.settings, head, claimed)
        self._delay = timestamp - head.timestamp
        return timestamp

    def expect_timestamp(self, head: Head) -> Timestamp:
        """Predict the result of ``fetch_timestamp`` if the next block is as far off as the last."""
        return bound_timestamp(self.settings, head, head.timestamp + self._delay)
