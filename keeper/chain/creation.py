"""Finds the block in which a contract was created, as far as a node can state it.

A node with old state shows in which block the contract appears. Some nodes return empty results for
pruned state, so the log of the creation must be in that very block. A node without old state may
still have the logs.
"""

from dataclasses import dataclass
from typing import Final

from keeper.chain import fields
from keeper.chain.block_logs import filter_document
from keeper.chain.log_table import log_table, refuse_unwanted
from keeper.chain.reader import NodeReader
from keeper.chain.refusal import is_pruned
from keeper.chain.windows import named_limit
from keeper.domain.errors import ChainError, RpcRefused
from keeper.domain.head import Head
from keeper.domain.reads import LogFilter, Origin
from keeper.domain.units import Address

MOST_QUERIES: Final = 400
"""The most log queries for one contract: some hosted nodes give ten thousand blocks in each."""
REFUSALS: Final = 40
"""The most refusals in a row until a node counts as one that gives no logs at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """Block of a contract's creation. None if it cannot be determined, with the ``reason``.

    ``source`` is ``state`` or ``logs``.
    """

    block: int | None
    source: str = ""
    reason: str = ""


async def find_creation(reader: NodeReader, origin: Origin, head: Head) -> Creation:
    """Find the block in which a contract that exists at ``head`` was created."""
    absent, present = await _bisect_state(reader, origin.contract, head.number)
    search = LogSearch(reader, origin.created, MOST_QUERIES)
    if absent is not None and absent + 1 == present:
        at_once = await search.first(present, present)
        if at_once is not None:
            return Creation(block=present, source="state")
    block = await search.first(0, present)
    if block is not None:
        return Creation(block=block, source="logs")
    if absent is not None and absent + 1 == present:
        reason = f"by its state it was made in block {present}, but no log of that is there"
    else:
        reason = f"the node has no state before block {present}, and it {search.reason}"
    return Creation(block=None, reason=reason)


async def _bisect_state(reader: NodeReader, contract: Address, head: int) -> tuple[int | None, int]:
    """Return the last block without the contract and the first with it, by available state.

    The former is None if the state before the latter is pruned, so the contract may be older.
    """
    absent, present, is_known = -1, head, True
    while present - absent > 1:
        middle = (absent + present) // 2
        answer = await _has_code(reader, contract, middle)
        if answer:
            present = middle
        else:
            absent, is_known = middle, answer is not None
    return (absent if is_known else None), present


async def _has_code(reader: NodeReader, contract: Address, block: int) -> bool | None:
    """Return whether there is code at a block. None if the node does not answer."""
    try:
        answer = await reader.rpc.read("eth_getCode", contract, hex(block))
        return bool(fields.data(answer, "the code"))
    except ChainError:
        return None


class LogSearch:
    """Search for the first log from the start, in windows that the node accepts.

    ``gave_up`` means that a range was not searched completely, ``reason`` is why no log was found.
    """

    def __init__(self, reader: NodeReader, wanted: LogFilter, most: int = MOST_QUERIES) -> None:
        """Send no request yet, and at most ``most`` queries."""
        self.reason = "has no log of its creation"
        self.gave_up = False
        self._reader = reader
        self._wanted = wanted
        self._left = most

    async def first(self, first: int, last: int) -> int | None:
        """Return the block of a range's first log. None if none, or after too many queries."""
        start, length, refused = first, last - first + 1, 0
        while start <= last:
            if not self._left:
                self._stop(f"gives logs of {length} blocks at a time only")
                return None
            self._left -= 1
            end = min(last, start + length - 1)
            try:
                blocks = await self._fetch_blocks(start, end)
            except ChainError as error:
                refused += 1
                if refused > REFUSALS or (isinstance(error, RpcRefused) and is_pruned(error)):
                    self._stop("does not give its old logs")
                    return None
                named = named_limit(error.text, length) if isinstance(error, RpcRefused) else None
                length = max(1, named or length // 2)
                continue
            if blocks:
                return min(blocks)
            start, refused = end + 1, 0
        return None

    def _stop(self, reason: str) -> None:
        self.reason, self.gave_up = reason, True

    async def _fetch_blocks(self, first: int, last: int) -> list[int]:
        criteria = {"fromBlock": hex(first), "toBlock": hex(last), **filter_document(self._wanted)}
        table = log_table(await self._reader.rpc.read("eth_getLogs", criteria))
        refuse_unwanted(table, self._wanted)
        return list(table.blocks)
