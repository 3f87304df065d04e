"""What was signed and sent, and what became of it: one nonce, its attempts, its receipt."""

import enum
from dataclasses import dataclass
from typing import Final

from keeper.domain.plan import Batch
from keeper.domain.units import (
    Address,
    BlockHash,
    Gas,
    MarketKey,
    Timestamp,
    TokenUnits,
    TransactionHash,
    Wei,
)

NO_LOG: Final = -1
"""No log says it."""

_UNKNOWN: Final = Timestamp(0)
_NOTHING: Final = Wei(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """The two EIP-1559 bids, in wei per unit of gas: ceiling and tip."""

    max_fee: Wei
    priority_fee: Wei


class AttemptKind(enum.StrEnum):
    """Why a transaction was signed for a nonce."""

    SEND = "send"
    BUMP = "bump"
    CANCEL = "cancel"


class AttemptState(enum.StrEnum):
    """What is known about the bytes; only a receipt says more."""

    RECORDED = "recorded"  # committed to the journal, perhaps never sent
    SENT = "sent"  # a node took them, or had them already
    UNKNOWN = "unknown"  # no clear answer: they may be in a mempool
    REFUSED = "refused"  # the node said why it will not take them
    RELEASED = "released"  # every node refused them for good from the first time, and none has them


class NonceState(enum.StrEnum):
    """How far the chain is with a nonce."""

    BOUND = "bound"  # belongs to its intents until a block consumes it
    INCLUDED = "included"  # a block has one of its attempts; a reorg re-opens it
    FINAL = "final"  # deep enough, and the block was still canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One signed transaction; all of a nonce's attempts exclude each other on chain."""

    nonce: int
    kind: AttemptKind
    hash: TransactionHash
    raw: bytes
    fees: Fees
    gas_limit: Gas
    to: Address | None  # None creates a contract
    calldata: bytes
    block_number: int  # the head when it was signed
    state: AttemptState = AttemptState.RECORDED


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOutcome:
    """
    What one plan brought on chain; ``failure`` is empty when it worked.

    ``log_index`` is the place in its block of the log that says so.
    """

    market: MarketKey
    account: Address
    token: Address
    profit: TokenUnits
    profit_wei: Wei
    failure: str = ""
    log_index: int = NO_LOG


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """The receipt of a nonce, as it was booked."""

    hash: TransactionHash
    block_number: int
    block_hash: BlockHash
    success: bool
    gas_used: Gas
    effective_gas_price: Wei
    plans: tuple[PlanOutcome, ...] = ()
    timestamp: Timestamp = _UNKNOWN  # of the block
    data_fee: Wei = _NOTHING  # what a rollup took for publishing the data, beside the gas

    @property
    def gas_cost(self) -> Wei:
        """What the gas cost, and a rollup's data fee."""
        return Wei(self.gas_used * self.effective_gas_price + self.data_fee)

    @property
    def net_profit(self) -> Wei:
        """The plans' profits at the plans' prices, less gas; negative when it was a loss."""
        return Wei(sum(one.profit_wei for one in self.plans) - self.gas_cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """
    One nonce and everything about it; ``attempts`` in the order of signing.

    ``batch`` is None where the nonce only filled a gap.
    """

    nonce: int
    batch: Batch | None
    attempts: tuple[Attempt, ...]
    state: NonceState = NonceState.BOUND
    inclusion: Inclusion | None = None

    @property
    def newest(self) -> Attempt:
        """The attempt with the highest fees: the one to keep alive."""
        return self.attempts[-1]

    @property
    def is_released(self) -> bool:
        """Whether nobody has, or ever took, the bytes that act for its accounts."""
        acting = [one for one in self.attempts if one.kind is not AttemptKind.CANCEL]
        return bool(acting) and all(one.state is AttemptState.RELEASED for one in acting)

    @property
    def accounts(self) -> tuple[tuple[MarketKey, Address], ...]:
        """Whom it is about; nobody where it was released."""
        plans = self.batch.plans if self.batch is not None and not self.is_released else ()
        return tuple((plan.market, plan.account) for plan in plans)
