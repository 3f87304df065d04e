"""Optional methods and request forms that an endpoint lacks, learnt from its refusals."""

import enum
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS: Final = 60.0
LONGEST_RETRY_SECONDS: Final = 3_600.0


class Capability(enum.StrEnum):
    """A method or request form that a node may lack. The value is its display name."""

    CHAIN_ID = "eth_chainId"
    SIMULATION = "eth_simulateV1"
    FEE_HISTORY = "eth_feeHistory"
    PRIORITY_FEE = "eth_maxPriorityFeePerGas"
    GAS_PRICE = "eth_gasPrice"
    BATCHES = "batches of requests"
    BLOCK_RECEIPTS = "eth_getBlockReceipts"
    LOGS_BY_HASH = "eth_getLogs by block hash"
    PENDING_BLOCK = "eth_getBlockByNumber at pending"
    PENDING_TRANSACTIONS = "transactions of the block at pending"
    PENDING_NONCE = "eth_getTransactionCount at pending"
    ESTIMATE = "eth_estimateGas"
    ESTIMATE_AT_BLOCK = "eth_estimateGas at a block"
    CALL_GAS = "the gas field of eth_call"
    CODE = "eth_getCode"
    BALANCE = "eth_getBalance"
    DEPLOYLESS = "calls of code that is deployed nowhere"
    STATE_OVERRIDES = "state overrides of eth_call"
    BLOCK_OVERRIDES = "block overrides of eth_call"
    MULTICALL3 = "Multicall3"
    SUBSCRIPTIONS = "eth_subscribe to newHeads"
    FINALIZED = "the finalized tag"
    STATE_CLOCK = "block.timestamp in eth_call"


INSTEAD: Final = {
    Capability.CHAIN_ID: "the chain is known by net_version, or by a contract's code",
    Capability.SIMULATION: "each transaction is simulated alone",
    Capability.FEE_HISTORY: "the base fee comes from the header, the tip from another method",
    Capability.PRIORITY_FEE: "the tip comes from eth_gasPrice, or is the policy's least",
    Capability.GAS_PRICE: "the tip is the policy's least",
    Capability.BATCHES: "requests go in smaller messages, or one by one",
    Capability.BLOCK_RECEIPTS: "receipts are read one by one",
    Capability.LOGS_BY_HASH: "logs are read by number between two checks of the hash",
    Capability.PENDING_BLOCK: "the next block is expected right after the newest",
    Capability.PENDING_TRANSACTIONS: "rivals show once a block has them",
    Capability.PENDING_NONCE: "waiting transactions of the key are not seen",
    Capability.ESTIMATE: "gas is taken from the limits of the plans' own steps",
    Capability.ESTIMATE_AT_BLOCK: "gas is estimated at the newest block",
    Capability.CALL_GAS: "reads are sent with less gas, or without the field",
    Capability.CODE: "code is read by a call",
    Capability.BALANCE: "balances are read by a call",
    Capability.DEPLOYLESS: "reads are sent one by one",
    Capability.STATE_OVERRIDES: "code that is not deployed runs as a deployment, in smaller parts",
    Capability.BLOCK_OVERRIDES: "a transaction run alone sees the newest block's fields",
    Capability.MULTICALL3: "reads are aggregated by code that is not deployed, or sent one by one",
    Capability.SUBSCRIPTIONS: "new blocks are polled for",
    Capability.FINALIZED: "finality goes by the number of confirmations",
    Capability.STATE_CLOCK: "answers from an older block's state are not noticed",
}
"""The second way that the keeper takes for each capability."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """A capability that an endpoint refused, with its retry time (monotonic seconds)."""

    endpoint: int
    capability: Capability
    reason: str
    retry_at: float
    retry_seconds: float = FIRST_RETRY_SECONDS
    limit: int | None = None
    """The most that the endpoint accepts (requests of a batch, gas of a call), where known."""

    @property
    def instead(self) -> str:
        """A text on the alternative that is used."""
        return INSTEAD[self.capability]


class Capabilities:
    """Capabilities that each endpoint lacks.

    A lack is logged once, kept until its retry is due, and then tried again. A success clears it,
    another refusal doubles the pause up to an hour.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lacks: dict[tuple[int, Capability], Lack] = {}

    def has(self, endpoint: int, capability: Capability) -> bool:
        """Return whether to use a capability. True without a known lack, or if a retry is due."""
        lack = self._lacks.get((endpoint, capability))
        return lack is None or self.clock() >= lack.retry_at

    def limit(self, endpoint: int, capability: Capability) -> int | None:
        """Return the learnt limit. None if none is known, or a retry is due."""
        lack = self._lacks.get((endpoint, capability))
        return None if lack is None or self.clock() >= lack.retry_at else lack.limit

    def lack(self, endpoint: int, capability: Capability) -> Lack | None:
        """Return the lack of a capability, also if its retry is due."""
        return self._lacks.get((endpoint, capability))

    def learn_lack(
        self, endpoint: int, capability: Capability, reason: str, *, limit: int | None = None
    ) -> None:
        """Record that an endpoint refused a capability, or more than ``limit`` of it."""
        now, before = self.clock(), self._lacks.get((endpoint, capability))
        if before is None:
            log.warning(
                'endpoint_lacks endpoint=%d capability="%s" reason="%s" instead="%s"',
                endpoint,
                capability,
                reason,
                INSTEAD[capability],
            )
            pause = FIRST_RETRY_SECONDS
        elif now < before.retry_at:  # learnt again while it is known: only the limit may shrink
            limits = [known for known in (before.limit, limit) if known is not None]
            smallest = min(limits, default=None)
            self._lacks[endpoint, capability] = replace(before, limit=smallest)
            return
        else:
            pause = min(2 * before.retry_seconds, LONGEST_RETRY_SECONDS)
        self._lacks[endpoint, capability] = Lack(
            endpoint=endpoint,
            capability=capability,
            reason=reason,
            retry_at=now + pause,
            retry_seconds=pause,
            limit=limit,
        )

    def learn_success(self, endpoint: int, capability: Capability) -> None:
        """Clear a lack after a successful retry. A success below its limit proves nothing."""
        lack = self._lacks.get((endpoint, capability))
        if lack is None or self.clock() < lack.retry_at:
            return
        del self._lacks[endpoint, capability]
        log.info('endpoint_regained endpoint=%d capability="%s"', endpoint, capability)

    def lacks(self, endpoint: int | None = None) -> Sequence[Lack]:
        """Return the lacks of one endpoint or of all, in a stable order."""
        return [
            lack
            for key, lack in sorted(self._lacks.items())
            if endpoint is None or key[0] == endpoint
        ]
