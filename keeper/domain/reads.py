"""What is asked of a node and what it answers, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.domain.units import Address, BlockHash, TransactionHash


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One read of a contract."""

    target: Address
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """What a read returned; ``data`` is the revert data where it failed."""

    success: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """
    Which logs are wanted.

    ``topics`` is one tuple of alternatives per position; an empty tuple at a
    position takes anything.
    """

    addresses: tuple[Address, ...]
    topics: tuple[tuple[bytes, ...], ...] = ()

    def covers(self, other: "LogFilter") -> bool:
        """Whether all that ``other`` takes is taken, by address and first topic."""
        firsts, theirs = (next(iter(one.topics), ()) for one in (self, other))
        return (
            not self.topics[1:]
            and _takes(self.addresses, other.addresses)
            and _takes(firsts, theirs)
        )

    def accepts(self, log: "Log") -> bool:
        """Whether the filter takes this log."""
        if self.addresses and log.address not in self.addresses:
            return False
        return all(
            not alternatives or (at < len(log.topics) and log.topics[at] in alternatives)
            for at, alternatives in enumerate(self.topics)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """
    The contract whose creation begins a market's history.

    ``created`` takes the log of its creation. Other logs that it takes are later ones.
    """

    contract: Address
    created: LogFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One log of a mined transaction."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: BlockHash
    transaction_hash: TransactionHash
    index: int
    removed: bool = False


LogKey = tuple[BlockHash, int, Address, tuple[bytes, ...], bytes]
"""A log's block, its index there, and its content: an endpoint may show another at that index."""


def log_key(log: Log) -> LogKey:
    """Return what tells a log from every other one."""
    return log.block_hash, log.index, log.address, log.topics, log.data


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTable:
    """
    Many logs as columns, a row for each, so that no object is made per log.

    ``addresses`` has 20 bytes a row, each column of ``topics`` 32, zeros where a log has no
    such topic; ``topic_counts`` says how many it has, in one byte. The ``data`` of row ``i``
    ends at ``data_ends[i]`` and begins where the row before it ends.
    """

    rows: int
    addresses: bytes
    topics: tuple[bytes, bytes, bytes, bytes]
    topic_counts: bytes
    data: bytes
    data_ends: Sequence[int]
    blocks: Sequence[int]
    indices: Sequence[int]


def _takes(ours: Sequence[object], theirs: Sequence[object]) -> bool:
    """Whether one part of a filter, where none is everything, takes all that another's does."""
    return not ours or (bool(theirs) and set(theirs) <= set(ours))
