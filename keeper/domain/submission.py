"""Submissions. A nonce with its signed attempts and its receipt."""

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
    """The two EIP-1559 fee limits in wei per gas, max fee and priority fee."""

    max_fee: Wei
    priority_fee: Wei


class AttemptKind(enum.StrEnum):
    """Reasons for signing a transaction for a nonce."""

    SEND = "send"
    BUMP = "bump"
    CANCEL = "cancel"


class AttemptState(enum.StrEnum):
    """Knowledge about a signed transaction before its receipt."""

    RECORDED = "recorded"  # committed to the journal, perhaps never sent
    SENT = "sent"  # a node took them, or had them already
    UNKNOWN = "unknown"  # no clear answer: they may be in a mempool
    REFUSED = "refused"  # the node said why it will not take them
    RELEASED = "released"  # every node refused them for good from the first time, and none has them


class NonceState(enum.StrEnum):
    """Progress of a nonce on chain."""

    BOUND = "bound"  # belongs to its intents until a block consumes it
    INCLUDED = "included"  # a block has one of its attempts; a reorg re-opens it
    FINAL = "final"  # deep enough, and the block was still canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One signed transaction. All attempts of a nonce exclude each other on chain."""

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
    """Result of one plan on chain. ``failure`` is empty on success.

    ``log_index`` is the index in its block of the log that reports it.
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
    """The recorded receipt of a nonce."""

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
        """The cost of the gas, including a rollup's data fee."""
        return Wei(self.gas_used * self.effective_gas_price + self.data_fee)

    @property
    def net_profit(self) -> Wei:
        """The plans' profits at the plans' prices, less gas. Negative for a loss."""
        return Wei(sum(one.profit_wei for one in self.plans) - self.gas_cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """One nonce with its batch, attempts and receipt. ``attempts`` are in the order of signing.

    ``batch`` is None if the nonce only filled a gap.
    """

    nonce: int
    batch: Batch | None
    attempts: tuple[Attempt, ...]
    state: NonceState = NonceState.BOUND
    inclusion: Inclusion | None = None

    @property
    def newest(self) -> Attempt:
        """The attempt with the highest fees, which is kept alive."""
        return self.attempts[-1]

    @property
    def is_released(self) -> bool:
        """Whether no node has, or ever accepted, the attempts that act for its accounts."""
        acting = [one for one in self.attempts if one.kind is not AttemptKind.CANCEL]
        return bool(acting) and all(one.state is AttemptState.RELEASED for one in acting)

    @property
    def accounts(self) -> tuple[tuple[MarketKey, Address], ...]:
        """The accounts that it acts for. Empty if it was released."""
        plans = self.batch.plans if self.batch is not None and not self.is_released else ()
        return tuple((plan.market, plan.account) for plan in plans)
