"""Logs of a range as a table, for tests that hand them to an adapter."""

from keeper.chain.log_table import EMPTY
from keeper.domain.reads import LogTable


async def history_of(reader, wanted, first, last):
    """Return everything that a scan hands over, as one table."""
    parts = []
    await reader.scan_logs(wanted, first, last, lambda table, _: parts.append(table))
    return joined(parts)


def joined(parts):
    """Return several tables as one."""
    kept = [one for one in parts if one.rows]
    if not kept:
        return EMPTY
    ends, before = [], 0
    for one in kept:
        ends += [before + end for end in one.data_ends]
        before += len(one.data)
    return LogTable(
        rows=sum(one.rows for one in kept),
        addresses=b"".join(one.addresses for one in kept),
        topics=tuple(b"".join(one.topics[at] for one in kept) for at in range(4)),
        topic_counts=b"".join(one.topic_counts for one in kept),
        data=b"".join(one.data for one in kept),
        data_ends=ends,
        blocks=[block for one in kept for block in one.blocks],
        indices=[index for one in kept for index in one.indices],
    )
