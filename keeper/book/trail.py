"""Window of the last followed blocks, with the relevant logs of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.head import Head
from keeper.domain.reads import Log, LogFilter, LogKey, log_key
from keeper.domain.units import BlockHash

DEPTH: Final = 128
"""Maximum depth of a reorg before everything is read again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """One followed block."""

    number: int
    hash: BlockHash
    logs: tuple[Log, ...]


class Trail:
    """Followed blocks, oldest first, each the parent of the next as far as known."""

    def __init__(self) -> None:
        self._blocks: list[Footprint] = []

    @property
    def tip(self) -> Footprint | None:
        """The last followed block, None before the first."""
        return self._blocks[-1] if self._blocks else None

    @property
    def blocks(self) -> Sequence[Footprint]:
        """The followed blocks, oldest first."""
        return tuple(self._blocks)

    @property
    def oldest(self) -> int:
        """The number of the oldest block in the window."""
        return self._blocks[0].number

    def find(self, block_hash: BlockHash) -> Footprint | None:
        """Return the followed block with this hash, None for an unknown one."""
        return next((at for at in reversed(self._blocks) if at.hash == block_hash), None)

    def known(self, wanted: LogFilter, first: int, last: int) -> frozenset[LogKey]:
        """Return the known filtered logs of a range, within the window."""
        blocks = (block for block in self._blocks if first <= block.number <= last)
        return frozenset(
            log_key(log) for block in blocks for log in block.logs if wanted.accepts(log)
        )

    def holds(self, log: Log) -> bool:
        """Whether a log is on this chain, as far as the window shows."""
        return log.block_number < self.oldest or self.find(log.block_hash) is not None

    def since(self, first: int) -> Sequence[Footprint]:
        """Return the blocks from ``first`` to the tip, none where one of them is missing."""
        found = [at for at in self._blocks if at.number >= first]
        whole = found and len(found) == found[-1].number - first + 1
        return found if whole else []

    def after(self, fork: Footprint | None) -> Sequence[Footprint]:
        """Return the blocks followed after ``fork``, all of them for None."""
        if fork is None:
            return tuple(self._blocks)
        return tuple(at for at in self._blocks if at.number > fork.number)

    def rebased(self, fork: Footprint | None, branch: Sequence[Head], logs: Sequence[Log]) -> None:
        """Drop the blocks after ``fork``, and append ``branch`` with its logs."""
        kept = [] if fork is None else [at for at in self._blocks if at.number <= fork.number]
        by_block: dict[BlockHash, list[Log]] = {head.hash: [] for head in branch}
        for log in logs:
            by_block.setdefault(log.block_hash, []).append(log)
        kept += [
            Footprint(number=head.number, hash=head.hash, logs=tuple(by_block[head.hash]))
            for head in branch
        ]
        self._blocks = kept[-DEPTH:]

    def restored(self, blocks: Sequence[Footprint]) -> None:
        """Continue from blocks that an earlier process followed."""
        self._blocks = list(blocks)[-DEPTH:]

    def learnt(self, logs: Sequence[Log]) -> None:
        """Add logs of blocks that were followed before their contracts were.

        A log of a block outside the window cannot be undone and is ignored.
        """
        by_block: dict[BlockHash, list[Log]] = {}
        for log in logs:
            by_block.setdefault(log.block_hash, []).append(log)
        self._blocks = [
            replace(at, logs=_merge_logs(at.logs, by_block[at.hash])) if at.hash in by_block else at
            for at in self._blocks
        ]


def _merge_logs(before: Sequence[Log], after: Sequence[Log]) -> tuple[Log, ...]:
    by_key = {log_key(log): log for log in (*before, *after)}
    return tuple(sorted(by_key.values(), key=lambda log: log.index))
