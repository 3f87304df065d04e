"""Requests to a node and their results, as plain data."""

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
    """Result of a call. ``data`` is the revert data if it failed."""

    success: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Selects logs by address and topics.

    ``topics`` is one tuple of alternatives per position. An empty tuple at a position matches
    anything.
    """

    addresses: tuple[Address, ...]
    topics: tuple[tuple[bytes, ...], ...] = ()

    def covers(self, other: "LogFilter") -> bool:
        """Return whether this filter includes every log of ``other`` (address, first topic)."""
        firsts, theirs = (next(iter(one.topics), ()) for one in (self, other))
        return (
            not self.topics[1:]
            and _contains_all(self.addresses, other.addresses)
            and _contains_all(firsts, theirs)
        )

    def accepts(self, log: "Log") -> bool:
        """Return whether the filter matches this log."""
        if self.addresses and log.address not in self.addresses:
            return False
        return all(
            not alternatives or (at < len(log.topics) and log.topics[at] in alternatives)
            for at, alternatives in enumerate(self.topics)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The contract that begins a market's history with its creation.

    ``created`` matches the log of its creation. Other logs that it matches are later.
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
    """Return the identity of a log."""
    return log.block_hash, log.index, log.address, log.topics, log.data


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTable:
    """Logs as columns with one row per log, which avoids an object per log.

    ``addresses`` has 20 bytes a row, each column of ``topics`` 32, zeros if a log has no such
    topic. ``topic_counts`` is the number of its topics, in one byte. The ``data`` of row ``i`` ends
    at ``data_ends[i]`` and begins at the end of the previous row.
    """

    rows: int
    addresses: bytes
    topics: tuple[bytes, bytes, bytes, bytes]
    topic_counts: bytes
    data: bytes
    data_ends: Sequence[int]
    blocks: Sequence[int]
    indices: Sequence[int]


def _contains_all(ours: Sequence[object], theirs: Sequence[object]) -> bool:
    """Return whether one part of a filter (empty matches all) includes all of another's."""
    return not ours or (bool(theirs) and set(theirs) <= set(ours))
