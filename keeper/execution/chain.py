"""What execution needs from the chain, the journal and the signer."""

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
"""Takes one event for people and scripts."""

Outcomes = Callable[[Batch, Sequence[Log]], tuple[PlanOutcome, ...]]
"""Reads from a receipt's logs what each plan of a batch brought."""


class ReadsHeads(Protocol):
    """The read of headers; it may raise ``ChainError``."""

    async def head(self, block: int | BlockHash | None = None) -> Head:
        """Return a block's header."""
        ...


class Chain(Protocol):
    """Reads; each may raise ``ChainError``."""

    async def head(self, block: int | BlockHash | None = None) -> Head:
        """Return a block's header."""
        ...

    async def finalized(self) -> Head | None:
        """Return the newest finalized block; None where the node knows no such tag."""
        ...

    async def transaction_count(self, address: Address, block: str = "latest") -> int:
        """Return how many nonces of the account the chain consumed."""
        ...

    async def call(self, call: Call, basis: Basis, *, sender: Address | None = None) -> bytes:
        """Read one call; a revert raises ``RpcRefused`` with its data."""
        ...

    async def block_logs(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Return the logs of one block, by hash."""
        ...

    async def receipt(self, transaction: TransactionHash) -> Receipt | None:
        """Return a mined transaction's receipt; None where the node has none."""
        ...


@runtime_checkable
class SeesForks(Protocol):
    """A chain that can be looked at while it contradicts what was final."""

    async def canonical_head(self, block: int) -> Head:
        """Return the canonical block of a height, to look at and not to sign upon."""
        ...

    @property
    def noted_finalized(self) -> Head | None:
        """The newest block that an endpoint called final."""
        ...

    def accept_finality(self) -> None:
        """Take the chain as it is, whatever was final."""
        ...


class RawSender(Protocol):
    """The one call that cannot be taken back."""

    async def send_raw(self, raw: bytes) -> TransactionHash:
        """Hand signed bytes to a node, once."""
        ...


class Signer(Protocol):
    """Signs for one account on one chain."""

    @property
    def address(self) -> Address:
        """The account."""
        ...

    def sign(self, wanted: Unsigned) -> Signed:
        """Return the signed bytes, compared with what was wanted."""
        ...


class SubmitJournal(Protocol):
    """The durable record; each method returns when it is on the disk or raises JournalError."""

    @property
    def first_nonce(self) -> int:
        """The key's transaction count when the journal was made."""
        ...

    async def open_submissions(self) -> list[Submission]:
        """Return every nonce that is not final, lowest first."""
        ...

    @property
    def anchor(self) -> tuple[int, BlockHash] | None:
        """A deep block of the chain that the journal was made on; None where none is kept yet."""
        ...

    async def keep_anchor(self, number: int, block_hash: BlockHash) -> None:
        """Keep a deep block of the chain, by which the chain is known again."""
        ...

    async def probe(self) -> None:
        """Write something that changes nothing."""
        ...

    async def final_above(self, block_number: int) -> list[Submission]:
        """Return the final nonces whose block is above this one, lowest first."""
        ...

    async def mined_since(self, block_number: int) -> list[Submission]:
        """Return the nonces whose block is this one or above, lowest first."""
        ...

    async def unbound(self, first: int, last: int) -> list[int]:
        """Return the nonces from ``first`` to ``last``, both included, that were never bound."""
        ...

    async def high_water(self) -> int | None:
        """Return the highest nonce that was ever bound; None when there is none."""
        ...

    async def record(self, bound: Sequence[Submission], news: News | None = None) -> None:
        """Bind nonces to intents and keep the signed bytes and the news, in one transaction."""
        ...

    async def add_attempt(self, attempt: Attempt) -> None:
        """Keep the bytes of a replacement."""
        ...

    async def release(self, cancellation: Attempt) -> None:
        """Note that nobody has a nonce's bytes, free its intents, and keep what takes it."""
        ...

    async def mark_sent(self, sent: Sequence[Attempt], results: Sequence[str]) -> None:
        """Note what the node answered to each send."""
        ...

    async def include(self, nonce: int, inclusion: Inclusion) -> None:
        """Note the receipt of a nonce."""
        ...

    async def reopen(self, nonce: int) -> None:
        """Take a receipt back after a reorg."""
        ...

    async def finalise(self, nonce: int) -> None:
        """Note that a receipt is deep enough."""
        ...


async def canonical_head(chain: ReadsHeads, number: int) -> Head:
    """Return the chain's block of a height, to look at; ChainError where it cannot be read."""
    if isinstance(chain, SeesForks):
        return await chain.canonical_head(number)
    return await chain.head(number)


async def readable(what: str, work: Awaitable[T]) -> T:
    """Return what is read before something is signed; NotBroadcast where it cannot be."""
    try:
        return await work
    except ChainError as error:
        raise NotBroadcast(f"{what} cannot be read: {error}") from error
