"""Start of a book from an earlier process's state, as far as it covers the same accounts."""

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.book.followed import OTHER_ACCOUNTS, Followed, taken_up
from keeper.book.keeping import Keeping
from keeper.book.kept import Kept, MarketChange
from keeper.book.trail import Trail
from keeper.domain.errors import BlockUnknown, SnapshotReorged
from keeper.domain.head import Head
from keeper.domain.units import BlockHash
from keeper.ports import ChainReader


@dataclass(frozen=True, slots=True)
class Resuming:
    """A start at ``head`` from a stored book with its blocks in the window."""

    kept: Kept
    trail: Trail
    head: Head
    restores_structure: bool

    def spare_others(self, followed: Sequence[Followed], keeping: Keeping) -> None:
        """Leave the file unchanged where a command's state would not be a later one."""
        newest = max((block.number for block in self.kept.blocks), default=0)
        if self.head.number < newest:
            keeping.spare(f"it is at block {newest}, after block {self.head.number}")
        others = sorted(self.kept.markets.keys() - {one.market.key for one in followed})
        if others:
            keeping.spare(f"it holds a market that the settings do not name: {others[0]}")

    async def take_up(self, followed: Followed, keeping: Keeping) -> str:
        """Restore one market. Return the reason why its accounts have to be read again, if any.

        Raises:
            MarketUnreadable: its contracts do not answer.
        """
        market, head = followed.market, self.head
        followed.scans = self.kept.scans.get(market.key, ())
        change = self.kept.markets.get(market.key)
        if change is None:
            return ""
        structure = change.structure if self.restores_structure else None
        if not followed.restore_structure(structure, head):
            await followed.discover(head)
        refusal = taken_up(followed, change, self.kept.blocks, self._find_read_to(change), head)
        if not refusal:
            keeping.taken_up(market.key, len(change.deltas))
        elif refusal == OTHER_ACCOUNTS:
            keeping.spare(refusal)
        return refusal

    def _find_read_to(self, change: MarketChange) -> int:
        """Return the block up to which a stored market has read the accounts of its logs."""
        tip, coverage = self.trail.tip, self.kept.coverage
        newest = change.number if tip is None else tip.number
        learnt_from = None if coverage is None else coverage.learnt_from
        return newest if learnt_from is None else min(newest, learnt_from - 1)


async def take_up_scans(followed: Followed, reader: ChainReader, keeping: Keeping) -> None:
    """Continue a history that an earlier process was reading, if the chain is the same."""
    scans, followed.scans = followed.scans, ()
    hashes = dict[int, BlockHash | None]()
    for scan in scans:
        if scan.target not in hashes:
            hashes[scan.target] = await _fetch_hash(scan.target, reader)
        if hashes[scan.target] != scan.target_hash:
            continue
        if not followed.is_of_these_accounts(scan.form):
            keeping.spare(OTHER_ACCOUNTS)
        followed.take_up_scan(scan)


async def _fetch_hash(block: int, reader: ChainReader) -> BlockHash | None:
    try:
        return (await reader.head(block)).hash
    except (BlockUnknown, SnapshotReorged):
        return None
