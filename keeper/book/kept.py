"""The stored form of a book, as plain data."""

import json
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from keeper.book.explaining import KeptCoverage
from keeper.book.trail import Footprint
from keeper.columns.table import Array
from keeper.domain.reads import Log
from keeper.domain.units import Address, BlockHash, MarketKey, TransactionHash

Arrays = Mapping[str, Array]
"""Accounts as named arrays of fixed types."""

ADDRESS_COLUMN: Final = "address"
"""Suffix of the names of arrays with 20 bytes per row."""
FOUND: Final = "found/address"
"""The array of the borrowers found in a history."""
_LENGTH_BYTES: Final = 4
_LOG_FIELDS: Final = 8


class Damaged(Exception):
    """A stored record that differs from the one written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """Accounts found from ``first`` to ``covered_to`` of an unfinished history.

    Their addresses are in ``arrays`` under ``FOUND``, beside the market's own notes. The history
    ends at ``target``, and the result is valid while that block is canonical.
    """

    market: MarketKey
    form: str
    arrays: Arrays
    first: int
    covered_to: int
    target: int
    target_hash: BlockHash


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptStructure:
    """A market's structure as read by the version ``program``, discovered at a block.

    It follows the market's logs, so it is valid at the market's stored block. ``facts`` encodes it
    in the writing thread, since a deployment may have thousands of markets.
    """

    facts: Callable[[], str]
    program: str
    discovered_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOrigin:
    """The creation block of a market's contract."""

    number: int
    hash: BlockHash


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketChange:
    """Change of one market up to ``number``, as a whole ``base`` or as ``deltas`` to the last one.

    ``form`` identifies the arrays' format and scope. All logs are known from block ``since`` on.
    """

    market: MarketKey
    form: str
    number: int
    hash: BlockHash
    since: int
    scanned_to: int
    base: Arrays | None = None
    deltas: tuple[Arrays, ...] = ()
    structure: KeptStructure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One transaction, with the state after one or several blocks.

    ``facts`` of the chain are constant, and keyed by their owner's name.
    """

    gone: tuple[BlockHash, ...]
    blocks: tuple[Footprint, ...]
    markets: tuple[MarketChange, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    coverage: KeptCoverage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Everything that an earlier process stored."""

    blocks: tuple[Footprint, ...] = ()
    markets: Mapping[MarketKey, MarketChange] = field(default_factory=dict)
    scans: Mapping[MarketKey, Sequence[Scanned]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    coverage: KeptCoverage | None = None

    def common_blocks(self, markets: Collection[MarketKey]) -> Sequence[Footprint]:
        """Return the blocks up to which all of these markets were followed.

        Later blocks may lack the logs of a market that was left out meanwhile.
        """
        hashes = {market.hash for key, market in self.markets.items() if key in markets}
        newest = min((block.number for block in self.blocks if block.hash in hashes), default=None)
        return [block for block in self.blocks if newest is None or block.number <= newest]


def packed(arrays: Arrays) -> bytes:
    """Encode arrays with a checksum, a description of each, and their contents."""
    plain = {name: np.ascontiguousarray(one) for name, one in arrays.items()}
    described = [[name, one.dtype.str, list(one.shape)] for name, one in plain.items()]
    header = json.dumps(described).encode()
    parts = [
        len(header).to_bytes(_LENGTH_BYTES),
        header,
        *(one.data.cast("B") if one.size else b"" for one in plain.values()),
    ]
    return sealed(b"".join(parts))


def unpacked(raw: bytes) -> Arrays:
    """Decode arrays as read-only ones.

    Raises:
        Damaged: the bytes are corrupt.
    """
    body = opened(raw)
    try:
        start = _LENGTH_BYTES + int.from_bytes(body[:_LENGTH_BYTES])
        found: dict[str, Array] = {}
        for name, kind, shape in json.loads(body[_LENGTH_BYTES:start]):
            dtype, count = np.dtype(kind), int(np.prod(shape, dtype=np.int64))
            found[name] = np.frombuffer(body, dtype, count, start).reshape(shape)
            start += count * dtype.itemsize
    except (ValueError, TypeError) as error:
        raise Damaged(f"arrays that cannot be read: {error}") from None
    return found


def sealed(body: bytes) -> bytes:
    """Prefix bytes with their checksum."""
    return zlib.crc32(body).to_bytes(_LENGTH_BYTES) + body


def opened(raw: bytes) -> bytes:
    """Return the bytes behind their checksum. Raises Damaged if it differs."""
    if not isinstance(raw, bytes) or len(raw) < _LENGTH_BYTES:
        raise Damaged("a record is missing")
    body = raw[_LENGTH_BYTES:]
    if zlib.crc32(body) != int.from_bytes(raw[:_LENGTH_BYTES]):
        raise Damaged("a record has another checksum")
    return body


def addresses_in(arrays: Arrays) -> bytes:
    """Return every address in the arrays, 20 bytes each, possibly repeated."""
    return b"".join(one.tobytes() for name, one in arrays.items() if name.endswith(ADDRESS_COLUMN))


def packed_logs(logs: Sequence[Log]) -> bytes:
    """Encode logs as bytes."""
    return sealed(json.dumps([log_row(log) for log in logs]).encode())


def unpacked_logs(raw: bytes) -> tuple[Log, ...]:
    """Decode logs. Raises Damaged for corrupt bytes."""
    try:
        return tuple(log_from_row(row) for row in json.loads(opened(raw)))
    except (ValueError, TypeError) as error:
        raise Damaged(f"logs that cannot be read: {error}") from None


def log_row(log: Log) -> list[object]:
    """Return a log as a row of plain values."""
    return [
        log.address,
        [topic.hex() for topic in log.topics],
        log.data.hex(),
        log.block_number,
        log.block_hash,
        log.transaction_hash,
        log.index,
        log.removed,
    ]


def log_from_row(row: object) -> Log:
    """Parse a row as a log. Raises Damaged for another row."""
    if not isinstance(row, list) or len(row) != _LOG_FIELDS:
        raise Damaged("a log that cannot be read")
    address, topics, data, number, block_hash, transaction, index, removed = row
    return Log(
        address=Address(address),
        topics=tuple(bytes.fromhex(topic) for topic in topics),
        data=bytes.fromhex(data),
        block_number=number,
        block_hash=BlockHash(block_hash),
        transaction_hash=TransactionHash(transaction),
        index=index,
        removed=removed,
    )
