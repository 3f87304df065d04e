"""History of a market's borrowers, read from its first block on."""

from collections.abc import Callable

from keeper.book.followed import Followed, Progress
from keeper.book.keeping import Keeping
from keeper.book.resuming import take_up_scans
from keeper.book.trail import DEPTH, Trail
from keeper.domain.errors import SnapshotReorged
from keeper.domain.head import Head
from keeper.domain.reads import LogTable
from keeper.domain.units import Address
from keeper.ports import ChainReader


async def scan_history(
    followed: Followed,
    head: Head,
    reader: ChainReader,
    keeping: Keeping,
    progress: Callable[[Progress], None],
) -> None:
    """Collect all past borrowers, continuing where an earlier attempt or process stopped."""
    market, first = followed.market, followed.market.from_block
    await take_up_scans(followed, reader, keeping)
    if followed.scanned_to is not None:
        first = max(first, followed.scanned_to - DEPTH)
    unwritten, since = set[Address](), first

    def took(logs: LogTable, covered_to: int) -> None:
        nonlocal since
        borrowers = market.borrowers(logs)
        followed.borrowers |= borrowers
        followed.scanned_to = covered_to
        unwritten.update(borrowers)
        if keeping.is_free() and covered_to < head.number:
            keeping.scanned(followed.checkpoint(unwritten, (since, covered_to), head))
            since = covered_to + 1
            unwritten.clear()
        done, total = covered_to - market.from_block, head.number - market.from_block
        progress(Progress(market=market.key, stage="history", done=done, total=total))

    if first <= head.number:
        await reader.scan_logs(market.history_filter, first, head.number, took)


async def learn_logs(
    followed: Followed, head: Head, reader: ChainReader, trail: Trail, keeping: Keeping
) -> None:
    """Fetch a market's logs in the blocks of the window, so that they can be undone."""
    first = trail.oldest + 1
    if first > head.number:
        return
    logs = await reader.logs_between(followed.market.log_filter, first, head.number)
    if any(trail.find(one) is None for one in {log.block_hash for log in logs}):
        raise SnapshotReorged("the logs of the blocks before the head are of another branch")
    trail.learnt(logs)
    keeping.rewrite({log.block_hash for log in logs})
