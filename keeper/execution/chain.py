"""Ports of execution, chain, journal and signer."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from keeper.chain.records import Receipt
from keeper.domain.errors import ChainError, NotBroadcast
from keeper.domain.head import Basis, Head
from keeper.domain.plan import Batch, News
from keeper.domain.reads import Call, Log, LogFilter
from keeper.domain.submission import Attempt, Inclusion, PlanOutcome, Submission
from keeper.domain.units import Address, BlockHash, TransactionHash
from keeper.execution.signer import Signed, Unsigned

T = TypeVar("T")

Emit = Callable[[dict[str, object]], None]
"""Emits one event."""

Outcomes = Callable[[Batch, Sequence[Log]], tuple[PlanOutcome, ...]]
"""Computes each plan's outcome from a receipt's logs."""


class ReadsHeads(Protocol):
    """Header read. It may raise ``ChainError``."""

    async def head(self, block: int | BlockHash | None = None) -> Head:
        """Return a block's header."""
        ...


class Chain(Protocol):
    """Chain reads of execution. Each may raise ``ChainError``."""

    async def head(self, block: int | BlockHash | None = None) -> Head:
        """Return a block's header."""
        ...

    async def finalized(self) -> Head | None:
        """Return the newest finalized block. None if the node does not know the tag."""
        ...

    async def transaction_count(self, address: Address, block: str = "latest") -> int:
        """Return how many nonces of the account the chain consumed."""
        ...

    async def call(self, call: Call, basis: Basis, *, sender: Address | None = None) -> bytes:
        """Read one call. A revert raises ``RpcRefused`` with its data."""
        ...

    async def block_logs(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Return the logs of one block, by hash."""
        ...

    async def receipt(self, transaction: TransactionHash) -> Receipt | None:
        """Return a mined transaction's receipt. None if the node has none."""
        ...


@runtime_checkable
class SeesForks(Protocol):
    """A chain that can be read while it contradicts a finalized block."""

    async def canonical_head(self, block: int) -> Head:
        """Return the canonical block of a height, for reading only, not as a base for signing."""
        ...

    @property
    def noted_finalized(self) -> Head | None:
        """The newest block that an endpoint called final."""
        ...

    def accept_finality(self) -> None:
        """Accept the present chain, also where it contradicts a finalized block."""
        ...


class RawSender(Protocol):
    """Broadcast port. A send cannot be undone."""

    async def send_raw(self, raw: bytes) -> TransactionHash:
        """Send signed bytes to a node, once."""
        ...


class Signer(Protocol):
    """Signs for one account on one chain."""

    @property
    def address(self) -> Address:
        """The account."""
        ...

    def sign(self, wanted: Unsigned) -> Signed:
        """Sign a transaction and compare the signed bytes with the request."""
        ...


class SubmitJournal(Protocol):
    """Durable journal. Each method returns once data is on disk, or raises JournalError."""

    @property
    def first_nonce(self) -> int:
        """The key's transaction count when the journal was created."""
        ...

    async def open_submissions(self) -> list[Submission]:
        """Return every nonce that is not final, lowest first."""
        ...

    @property
    def anchor(self) -> tuple[int, BlockHash] | None:
        """Deep block of the chain that the journal was created on. None if not stored yet."""
        ...

    async def keep_anchor(self, number: int, block_hash: BlockHash) -> None:
        """Persist a deep block by which the chain is recognized."""
        ...

    async def probe(self) -> None:
        """Test that the journal is writable, without changing anything."""
        ...

    async def final_above(self, block_number: int) -> list[Submission]:
        """Return the final nonces mined above this block, lowest first."""
        ...

    async def mined_since(self, block_number: int) -> list[Submission]:
        """Return the nonces mined in this block or a later one, lowest first."""
        ...

    async def unbound(self, first: int, last: int) -> list[int]:
        """Return the nonces from ``first`` to ``last``, both included, that were never bound."""
        ...

    async def high_water(self) -> int | None:
        """Return the highest nonce that was ever bound. None if no nonce was bound."""
        ...

    async def record(self, bound: Sequence[Submission], news: News | None = None) -> None:
        """Bind nonces to intents and persist signed bytes and action facts, in one transaction."""
        ...

    async def add_attempt(self, attempt: Attempt) -> None:
        """Persist the signed bytes of a replacement."""
        ...

    async def release(self, cancellation: Attempt) -> None:
        """Persist that no node holds a nonce's attempts, free its intents, add its cancellation."""
        ...

    async def mark_sent(self, sent: Sequence[Attempt], results: Sequence[str]) -> None:
        """Persist the node's answer to each send."""
        ...

    async def include(self, nonce: int, inclusion: Inclusion) -> None:
        """Persist the receipt of a nonce."""
        ...

    async def reopen(self, nonce: int) -> None:
        """Remove a receipt after a reorg."""
        ...

    async def finalise(self, nonce: int) -> None:
        """Persist that a receipt is final."""
        ...


async def canonical_head(chain: ReadsHeads, number: int) -> Head:
    """Fetch the canonical block of a height, for reading only. May raise ChainError."""
    if isinstance(chain, SeesForks):
        return await chain.canonical_head(number)
    return await chain.head(number)


async def readable(what: str, work: Awaitable[T]) -> T:
    """Await a read that signing needs. A failure raises NotBroadcast."""
    try:
        return await work
    except ChainError as error:
        raise NotBroadcast(f"{what} cannot be read: {error}") from error
