"""Decodes logs from JSON to byte columns in bulk, without an object per log.

Every field is checked. The strings of a field are joined and checked as one array. An invalid one
refuses the whole answer, as it does when logs are decoded one by one.
"""

import binascii
import re
from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from keeper.chain.abi import checksum
from keeper.chain.fields import MAX_TOPICS, Json, is_pending, sequence
from keeper.domain.errors import RpcMalformed
from keeper.domain.reads import LogFilter, LogTable
from keeper.domain.units import Address

ADDRESS_BYTES: Final = 20
TOPIC_BYTES: Final = 32

_FIELDS: Final = itemgetter("address", "topics", "data", "blockNumber", "logIndex")
_NO_TOPIC: Final = "0x" + "00" * TOPIC_BYTES
_QUANTITIES: Final = re.compile(r"(?:0x(?:0|[1-9a-fA-F][0-9a-fA-F]{0,15}),)*")
_PREFIX: Final = np.frombuffer(b"0x", dtype=np.uint8)


def log_table(answer: Json) -> LogTable:
    """Decode the logs of an ``eth_getLogs`` answer to columns.

    Raises:
        RpcMalformed: the answer, or any field of any log, is invalid.
    """
    logs = sequence(answer, "the logs")
    if not logs:
        return EMPTY
    try:
        columns = zip(*map(_FIELDS, cast("list[dict[str, Json]]", logs)), strict=True)
        addresses, topics, data, blocks, indices = (list(column) for column in columns)
        counts = [len(cast("list[str]", each)) for each in topics]
    except (KeyError, TypeError, IndexError):
        raise RpcMalformed("a log lacks a field") from None
    if None in indices and any(map(is_pending, logs)):
        return log_table([log for log in logs if not is_pending(log)])
    if not set(map(type, topics)) <= {list} or max(counts) > MAX_TOPICS:
        raise RpcMalformed("a log's topics are not an array of at most four")
    payload, ends = _join_bytes(data)
    return LogTable(
        rows=len(logs),
        addresses=_decode_column(addresses, ADDRESS_BYTES, "a log's address"),
        topics=_build_topics(cast("list[list[Json]]", topics), counts),
        topic_counts=bytes(counts),
        data=payload,
        data_ends=ends,
        blocks=_parse_quantities(blocks, "a log's block"),
        indices=_parse_quantities(indices, "a log's index"),
    )


def refuse_unwanted(table: LogTable, wanted: LogFilter) -> None:
    """Raise RpcMalformed if a log does not match the filter."""
    accepted = _match_values(
        table.addresses, ADDRESS_BYTES, [_to_bytes(each) for each in wanted.addresses]
    )
    for at, alternatives in enumerate(wanted.topics):
        accepted &= _match_values(table.topics[at], TOPIC_BYTES, alternatives)
        if alternatives:
            accepted &= np.frombuffer(table.topic_counts, dtype=np.uint8) > at
    if not accepted.all():
        raise RpcMalformed("the node returned a log that was not asked for")


def rows_with(table: LogTable, topic: bytes, topics: int) -> NDArray[np.intp]:
    """Return the rows with this first topic and at least this number of topics."""
    enough = np.frombuffer(table.topic_counts, dtype=np.uint8) >= topics
    return np.flatnonzero(_match_values(table.topics[0], TOPIC_BYTES, [topic]) & enough)


def words_at(table: LogTable, position: int, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return the topic at ``position`` of these rows, 32 bytes a row."""
    return _build_grid(table.topics[position], TOPIC_BYTES)[rows]


def addresses_of(words: NDArray[np.uint8]) -> frozenset[Address]:
    """Return the unique addresses in the last twenty bytes of these words."""
    return frozenset(checksum(each) for each in set(_split_cells(words[:, -ADDRESS_BYTES:])))


def pairs_of(words: NDArray[np.uint8], others: NDArray[np.uint8]) -> frozenset[tuple[str, Address]]:
    """Return word (as 0x hex) and address of each row, each pair once."""
    joined = np.concatenate([words, others[:, -ADDRESS_BYTES:]], axis=1)
    return frozenset(
        ("0x" + each[:TOPIC_BYTES].hex(), checksum(each[TOPIC_BYTES:]))
        for each in set(_split_cells(joined))
    )


def _split_cells(grid: NDArray[np.uint8]) -> list[bytes]:
    width = grid.shape[1]
    found: list[bytes] = np.ascontiguousarray(grid).view(f"V{width}").ravel().tolist()
    return found


def _build_grid(column: bytes, width: int) -> NDArray[np.uint8]:
    return np.frombuffer(column, dtype=np.uint8).reshape(-1, width)


def _match_values(column: bytes, width: int, wanted: Collection[bytes]) -> NDArray[np.bool_]:
    """Return the rows that hold one of these values, or all rows if there is no value."""
    grid = _build_grid(column, width)
    if not wanted:
        return np.ones(len(grid), dtype=np.bool_)
    found = np.zeros(len(grid), dtype=np.bool_)
    for each in wanted:
        found |= (grid == np.frombuffer(each, dtype=np.uint8)).all(axis=1)
    return found


def _to_bytes(address: Address) -> bytes:
    return bytes.fromhex(address[2:])


def _build_topics(
    topics: Sequence[Sequence[Json]], counts: Sequence[int]
) -> tuple[bytes, bytes, bytes, bytes]:
    """Return a column for each of four positions."""

    def column(at: int) -> bytes:
        if at >= max(counts):
            return bytes(TOPIC_BYTES * len(topics))
        values = [each[at] if at < len(each) else _NO_TOPIC for each in topics]
        return _decode_column(values, TOPIC_BYTES, "a topic")

    return column(0), column(1), column(2), column(3)


def _decode_column(values: Sequence[Json], width: int, what: str) -> bytes:
    """Decode values of ``width`` bytes each from 0x hex."""
    digits = 2 + 2 * width
    try:
        if set(map(len, cast("Sequence[str]", values))) != {digits}:
            raise RpcMalformed(f"{what} is not {width} bytes")
        text = "".join(cast("Sequence[str]", values)).encode("ascii")
        grid = np.frombuffer(text, dtype=np.uint8).reshape(len(values), digits)
        if not (grid[:, :2] == _PREFIX).all():
            raise RpcMalformed(f"{what} is not hex")
        return binascii.unhexlify(grid[:, 2:].tobytes())
    except (TypeError, ValueError):
        raise RpcMalformed(f"{what} is not {width} bytes of hex") from None


def _join_bytes(values: Sequence[Json]) -> tuple[bytes, list[int]]:
    """Join byte strings of any length from 0x hex, and return the end of each."""
    try:
        lengths = np.fromiter(map(len, cast("Sequence[str]", values)), np.int64, len(values))
        text = "".join(cast("Sequence[str]", values)).encode("ascii")
    except (TypeError, ValueError):
        raise RpcMalformed("a log's data is not bytes") from None
    letters = np.frombuffer(text, dtype=np.uint8)
    starts = np.cumsum(lengths) - lengths
    if (lengths < _PREFIX.size).any() or (lengths % 2).any() or len(letters) != lengths.sum():
        raise RpcMalformed("a log's data is not bytes")
    if not ((letters[starts] == _PREFIX[0]) & (letters[starts + 1] == _PREFIX[1])).all():
        raise RpcMalformed("a log's data is not hex")
    kept = np.ones(len(letters), dtype=np.bool_)
    kept[starts] = kept[starts + 1] = False
    try:
        payload = binascii.unhexlify(letters[kept].tobytes())
    except ValueError:
        raise RpcMalformed("a log's data is not hex") from None
    ends: list[int] = np.cumsum(lengths // 2 - 1).tolist()
    return payload, ends


def _parse_quantities(values: Sequence[Json], what: str) -> list[int]:
    """Parse quantities below 2**64."""
    try:
        text = ",".join(cast("Sequence[str]", values)) + ","
    except TypeError:
        raise RpcMalformed(f"{what} is not a quantity") from None
    if not _QUANTITIES.fullmatch(text):
        raise RpcMalformed(f"{what} is not a quantity")
    try:
        return [int(each, 16) for each in cast("Sequence[str]", values)]
    except ValueError:  # one of them held a comma
        raise RpcMalformed(f"{what} is not a quantity") from None


EMPTY: Final = LogTable(
    rows=0,
    addresses=b"",
    topics=(b"", b"", b"", b""),
    topic_counts=b"",
    data=b"",
    data_ends=(),
    blocks=(),
    indices=(),
)
"""No logs."""
