"""Fetches logs of long ranges in windows that the node accepts, and verifies completeness.

A node may refuse a window for its length, for the number of its logs, or by not answering. It is
asked in smaller parts then. Or it may answer and omit logs silently. Therefore an answer as long as
a usual limit is requested again in halves. In every other answer the blocks from its last log on
(and up to its first) are requested again, which detects truncation. In some windows one block is
compared with its own bloom filter.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.chain.block_logs import BlockLogs, filter_document
from keeper.chain.block_receipts import read_block_receipts
from keeper.chain.bloom import may_hold
from keeper.chain.concurrent import each
from keeper.chain.fields import Json, LogReader, document, sequence
from keeper.chain.headers import HEIGHT, ask_header, read_header
from keeper.chain.log_table import log_table, refuse_unwanted
from keeper.chain.refusal import LOGS_METHOD, is_pruned
from keeper.chain.rpc import Rpc
from keeper.chain.windows import Pace, Windows, named_limit
from keeper.domain.errors import (
    BlockUnknown,
    ChainError,
    HistoryPruned,
    RpcMalformed,
    RpcRefused,
    RpcTooLarge,
    RpcUnavailable,
)
from keeper.domain.reads import Log, LogFilter, LogTable
from keeper.domain.units import BlockHash

__all__ = ["LogSource", "Windows", "may_hold"]

USUAL_CAPS: Final = frozenset(
    count * 10**power for count in (1, 2, 5) for power in (1, 2, 3, 4)
) | frozenset({25, 250, 2_500, 100_000})
"""Numbers of logs at which hosted nodes cut their answers."""
SAMPLE_EVERY: Final = 4
"""One window in so many has a block held against its bloom filter."""
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 8.0

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Part:
    """The logs of a span of blocks, as the node returned them and as columns."""

    span: Span
    raw: Json
    table: LogTable


@dataclass(frozen=True, slots=True)
class Query:
    """The logs to fetch. ``check`` raises RpcMalformed if a field is invalid."""

    wanted: LogFilter
    check: Callable[[Json], object] = bool


class LogSource:
    """Fetches logs and verifies that they match the filter and are complete.

    ``cut`` is the fewest logs of an answer that proved to be truncated, None if none did.
    """

    def __init__(self, rpc: Rpc, windows: Windows | None = None) -> None:
        self.cut: int | None = None
        self._rpc = rpc
        self._windows = windows or Windows()
        self._pace = Pace(self._windows)
        self._reader = LogReader()
        self._blocks = BlockLogs(rpc, self._reader)
        self._served: dict[int, int] = {}
        self._asked_windows = 0

    def logs_of(self, value: Json) -> list[Log]:
        """Decode the logs of a receipt or an answer."""
        return self._reader.logs_of(value)

    async def in_block(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Fetch one block's logs. RpcMalformed if the node returns another block's."""
        return await self._blocks.fetch(wanted, block_hash)

    async def between(self, wanted: LogFilter, first: int, last: int) -> list[Log]:
        """Fetch the logs of a range, both ends included, in the chain's order."""
        found = list[Log]()

        def keep(part: Part) -> None:
            found.extend(self._reader.logs_of(part.raw))

        query = Query(wanted, check=self._reader.logs_of)
        await self._fetch_windows(query, (first, last), keep, outage=0)
        return sorted(found, key=lambda log: (log.block_number, log.index))

    async def scan(
        self, wanted: LogFilter, first: int, last: int, took: Callable[[LogTable, int], None]
    ) -> None:
        """Scan the logs of a long range, both ends included.

        ``took`` is called with the logs of one part after another and with the last block covered.
        A failed scan can continue after that block.

        Raises:
            HistoryPruned: the node has pruned logs of the range.
            RpcUnavailable: the node gave no answer for ``Windows.outage`` seconds.
        """
        await self._refuse_pruned(first)
        outage = self._windows.outage
        await self._fetch_windows(
            Query(wanted), (first, last), lambda part: took(part.table, part.span[1]), outage=outage
        )

    async def _refuse_pruned(self, block: int) -> None:
        """Raise HistoryPruned if the node does not even have the header of a block."""
        if await self._fetch_header(block) is None:
            raise pruned(f"it does not have block {block}")

    async def _fetch_header(self, block: int) -> Mapping[str, Json] | None:
        try:
            return document(await read_header(self._rpc, block), "the block")
        except BlockUnknown:
            return None

    async def _fetch_windows(
        self, query: Query, span: Span, took: Callable[[Part], None], *, outage: float
    ) -> None:
        """Fetch windows of the span, several at once, and deliver the parts in order."""
        cursor, last = span
        done: dict[int, Sequence[Part]] = {}
        reported = cursor

        async def work(_: int) -> None:
            nonlocal cursor, reported
            while cursor <= last:
                window = (cursor, min(last, cursor + self._pace.length - 1))
                cursor = window[1] + 1
                done[window[0]] = await self._fetch_with_retries(query, window, outage)
                while reported in done:
                    parts = done.pop(reported)
                    reported = parts[-1].span[1] + 1
                    for part in parts:
                        took(part)

        workers = range(self._windows.in_flight)
        await each(workers, work, in_flight=len(workers))

    async def _fetch_with_retries(
        self, query: Query, window: Span, outage: float
    ) -> Sequence[Part]:
        """Fetch a window's parts, with retries while the node does not answer."""
        pause, waited = FIRST_PAUSE, 0.0
        while True:
            try:
                return await self._fetch_window(query, window)
            except (RpcUnavailable, BlockUnknown):
                if waited >= outage:
                    raise
                # No two keepers should come back at the same moment.
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
                waited, pause = waited + pause, min(2 * pause, LONGEST_PAUSE)

    async def _fetch_window(self, query: Query, span: Span) -> list[Part]:
        """Fetch the parts of a window, a single one if the node returns it whole."""
        wanted, length, named = query.wanted, span[1] - span[0] + 1, None
        try:
            part = await self._ask_window(query, span)
            if length == 1:
                return [await self._ensure_whole_block(wanted, part)]
            if await self._is_whole(wanted, part):
                self._pace.answered(length)
                return [part]
        except RpcRefused as error:
            if is_pruned(error):
                raise pruned(error.text) from None
            if not _may_be_too_much(error):
                raise
            if length == 1:
                return [await self._fetch_from_receipts(wanted, span[0], error)]
            named = named_limit(error.text, length)
        except (RpcTooLarge, RpcUnavailable) as error:
            answered = isinstance(error, RpcTooLarge)
            if length == 1 or not (answered or await self._is_alive()):
                raise
        size = self._pace.refused(length, named)
        starts = range(span[0], span[1] + 1, size)
        spans = [(start, min(span[1], start + size - 1)) for start in starts]
        return [part for each_ in spans for part in await self._fetch_window(query, each_)]

    async def _ask_window(self, query: Query, span: Span) -> Part:
        (first, last), wanted = span, query.wanted
        criteria = {"fromBlock": hex(first), "toBlock": hex(last), **filter_document(wanted)}

        async def ask(place: int) -> Part:
            await self._refuse_unserved(place, last)
            answer = await self._rpc.ask(place, LOGS_METHOD, criteria)
            query.check(answer)
            return self._build_window(wanted, span, answer)

        return await self._rpc.read_with(ask, block=last)

    async def _refuse_unserved(self, place: int, last: int) -> None:
        """Raise BlockUnknown if an endpoint does not have the last block of a range yet.

        Nodes answer such a range without stating that blocks are missing.
        """
        if last <= self._served.get(place, -1) or not self._rpc.pool.blocks.is_young(last):
            return
        await ask_header(self._rpc, place, last)
        self._served[place] = last

    def _build_window(self, wanted: LogFilter, span: Span, answer: Json) -> Part:
        table = log_table(answer)
        refuse_unwanted(table, wanted)
        if table.rows and not span[0] <= min(table.blocks) <= max(table.blocks) <= span[1]:
            raise RpcMalformed("the logs of a range hold another block's")
        return Part(span, answer, table)

    def _has_suspicious_size(self, part: Part) -> bool:
        rows = part.table.rows
        return rows in USUAL_CAPS or (self.cut is not None and rows >= self.cut)

    async def _ensure_whole_block(self, wanted: LogFilter, part: Part) -> Part:
        """Return one block's logs, from its receipts if the answer may be truncated."""
        if not self._has_suspicious_size(part):
            return part
        block, rows = part.span[0], part.table.rows
        try:
            return await self._fetch_from_receipts(wanted, block, RpcRefused())
        except RpcRefused:
            if self.cut is None:
                return part
            raise RpcMalformed(
                f"the node cuts its answers off at {rows} logs, and block {block} may have more",
                hint="use another endpoint",
            ) from None

    async def _is_whole(self, wanted: LogFilter, part: Part) -> bool:
        """Return whether a window's answer seems complete."""
        rows, blocks = part.table.rows, part.table.blocks
        if self._has_suspicious_size(part):
            return False
        if rows:
            edges = ((part.span[0], min(blocks)), (max(blocks), part.span[1]))
            for edge, at in zip(edges, (min(blocks), max(blocks)), strict=True):
                again = await self._ask_window(Query(wanted), edge)
                if again.table.rows != blocks.count(at):
                    self.cut = min(self.cut or rows, rows)
                    return False
        self._asked_windows += 1
        # mutation: F13 log-sample
        return bool(self._asked_windows % SAMPLE_EVERY) or await self._is_bloom_consistent(
            wanted, part
        )

    async def _is_bloom_consistent(self, wanted: LogFilter, part: Part) -> bool:
        """Return whether a random block of the window has the logs of its bloom filter."""
        block = random.randint(*part.span)  # noqa: S311 - no secret
        header = await self._fetch_header(block)
        if header is None:
            raise pruned(f"it does not have block {block}")
        bloom, block_hash = header.get("logsBloom"), header.get("hash")
        if not isinstance(bloom, str) or not isinstance(block_hash, str):
            return True
        if not may_hold(bloom, wanted):
            return True
        rows = len(await self._blocks.fetch(wanted, BlockHash(block_hash)))
        if rows == part.table.blocks.count(block):
            return True
        again = await self._ask_window(Query(wanted), part.span)
        if rows == again.table.blocks.count(block):  # a reorganisation came between
            return False
        raise RpcMalformed(
            f"the node leaves out logs of block {block} where it is asked for a range",
            hint="use another endpoint",
        )

    async def _fetch_from_receipts(self, wanted: LogFilter, block: int, why: RpcRefused) -> Part:
        """Fetch the logs of one block that has too many for one answer."""
        try:
            return await read_block_receipts(
                self._rpc, block, lambda receipts: self._filter_receipts(wanted, block, receipts)
            )
        except (RpcRefused, BlockUnknown):
            raise why from None

    def _filter_receipts(
        self, wanted: LogFilter, block: int, receipts: Sequence[Mapping[str, Json]]
    ) -> Part:
        """Return the matching logs of a block's receipts."""
        logs = [log for receipt in receipts for log in _extract_logs(receipt)]
        accepted = [
            raw
            for raw, log in zip(logs, self._reader.logs_of(logs), strict=True)
            if wanted.accepts(log)
        ]
        return self._build_window(wanted, (block, block), accepted)

    async def _is_alive(self) -> bool:
        """Return whether the node answers at all, so that the request was too long."""
        try:
            await self._rpc.request(HEIGHT)
        except RpcUnavailable:
            return False
        except ChainError:
            return True  # a refusal is an answer
        return True


def pruned(detail: str) -> HistoryPruned:
    """Return the error for a node that lacks the history, with a remedy."""
    return HistoryPruned(
        f"the node no longer has the market's old logs: {detail}",
        hint="put an endpoint that keeps all logs first for one start (the book file keeps what"
        " was found), or set the market's from_block if it is too early",
    )


def _extract_logs(receipt: Mapping[str, Json]) -> list[Json]:
    return sequence(receipt.get("logs"), "a receipt's logs")


def _may_be_too_much(error: RpcRefused) -> bool:
    """Return whether a smaller range may succeed, except for unknown or forbidden methods."""
    return error.number not in (-32601, -401, -403, -404)
