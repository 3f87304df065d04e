"""Headers and logs between the followed blocks and a new head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.book.trail import DEPTH, Footprint, Trail
from keeper.domain.errors import BlockUnknown, SnapshotReorged
from keeper.domain.head import Head
from keeper.domain.reads import Log, LogFilter
from keeper.ports import ChainReader

BY_HASH: Final = 2
"""
Maximum of blocks with logs queried by hash. More are queried as a range.

A range costs four requests with its checks.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """The blocks from ``fork`` to a head, oldest header first.

    ``fork`` is None where the blocks do not meet a followed one. ``gap_from`` is the first block
    with unread logs. After a long gap the headers start later.
    """

    fork: Footprint | None
    headers: tuple[Head, ...]
    gap_from: int


async def branch_to(head: Head, trail: Trail, reader: ChainReader) -> Branch:
    """Return the blocks from the followed ones to ``head``.

    Raises:
        SnapshotReorged: the node changed branches meanwhile.
    """
    known, tip = trail.find(head.hash), trail.tip
    if known is not None:
        return Branch(fork=known, headers=(), gap_from=head.number + 1)
    headers = [head]
    if tip is not None and head.number - tip.number > 1:
        first = max(tip.number + 1, head.number - DEPTH)
        headers = [*await _fetch_linked_headers(first, head, reader), head]
        if first > tip.number + 1:
            return await _fetch_after_long_gap(tip, headers, reader)
    while tip is not None and headers[0].number > trail.oldest:
        fork = trail.find(headers[0].parent_hash)
        if fork is not None:
            return Branch(fork=fork, headers=tuple(headers), gap_from=fork.number + 1)
        headers.insert(0, await reader.head(headers[0].parent_hash))
    return Branch(fork=None, headers=tuple(await ancestry(head, reader)), gap_from=head.number)


async def ancestry(head: Head, reader: ChainReader) -> list[Head]:
    """Return the head and its known ancestors, oldest first."""
    first = max(0, head.number - DEPTH + 1)
    found = [head]
    try:
        before = await reader.heads(first, head.number - 1) if first < head.number else []
    except (BlockUnknown, SnapshotReorged):
        return found  # a node without old headers
    for parent in reversed(before):
        if parent.hash != found[0].parent_hash:
            break  # the node changed branches meanwhile
        found.insert(0, parent)
    return found


async def logs_of(branch: Branch, wanted: LogFilter, reader: ChainReader) -> list[Log]:
    """Return the filtered logs of the branch.

    Raises:
        SnapshotReorged: the node answered from another branch.
    """
    headers = branch.headers
    if not headers or branch.fork is None:  # without a fork everything is read again
        return []
    if headers[0].number == branch.gap_from and len(headers) <= BY_HASH:
        parts = [await reader.block_logs(wanted, header.hash) for header in headers]
        return [log for part in parts for log in part]
    logs = await reader.logs_between(wanted, branch.gap_from, headers[-1].number)
    hashes = {header.number: header.hash for header in headers}
    if any(log.block_hash != hashes.get(log.block_number, log.block_hash) for log in logs):
        raise SnapshotReorged("the logs of a gap come from another branch")
    return logs


async def _fetch_after_long_gap(
    tip: Footprint, headers: Sequence[Head], reader: ChainReader
) -> Branch:
    """Return the branch over a gap with missing headers, without a fork if the tip is orphaned."""
    standing = await reader.head(tip.number)
    if standing.hash != tip.hash:
        return Branch(fork=None, headers=tuple(headers), gap_from=headers[-1].number)
    return Branch(fork=tip, headers=tuple(headers), gap_from=tip.number + 1)


async def _fetch_linked_headers(first: int, head: Head, reader: ChainReader) -> list[Head]:
    """Return the headers from ``first`` to the head's parent, checked to be linked."""
    headers = await reader.heads(first, head.number - 1)
    for parent, child in zip(headers, [*headers[1:], head], strict=True):
        if child.parent_hash != parent.hash:
            raise SnapshotReorged("the headers of a gap come from another branch")
    return headers
