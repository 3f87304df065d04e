"""
Logs of long ranges: in windows as long as the node answers, and checked to be all of them.

A node may refuse a window for its length, for the number of its logs, or by not answering: it is
asked in smaller parts. Or it may answer and leave logs out without a word. Therefore an
answer as long as a usual limit is asked for again in halves; of every other one the blocks from
its last log on (and up to its first) are asked for once more, which finds what was cut off;
and of some windows a block is held against its own bloom filter.
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
    """The logs of some blocks, as the node gave them and as columns."""

    span: Span
    raw: Json
    table: LogTable


@dataclass(frozen=True, slots=True)
class Query:
    """Which logs are asked for; ``check`` raises RpcMalformed where a field of one is needed."""

    wanted: LogFilter
    check: Callable[[Json], object] = bool


class LogSource:
    """
    Asks for logs and checks that they are what was asked for, and all of it.

    ``cut`` is the fewest logs of an answer that proved to be cut off; None while none did.
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
        """Return the logs of a receipt or an answer."""
        return self._reader.logs_of(value)

    async def in_block(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Return one block's logs; RpcMalformed where the node mixes in another block's."""
        return await self._blocks.fetch(wanted, block_hash)

    async def between(self, wanted: LogFilter, first: int, last: int) -> list[Log]:
        """Return the logs of a range, both ends included, in the chain's order."""
        found = list[Log]()

        def keep(part: Part) -> None:
            found.extend(self._reader.logs_of(part.raw))

        query = Query(wanted, check=self._reader.logs_of)
        await self._cover(query, (first, last), keep, outage=0)
        return sorted(found, key=lambda log: (log.block_number, log.index))

    async def scan(
        self, wanted: LogFilter, first: int, last: int, took: Callable[[LogTable, int], None]
    ) -> None:
        """
        Go through the logs of a long range, both ends included.

        ``took`` is called with the logs of one stretch after the other and with the block that
        everything is covered up to; what failed after that can be gone on with from there.

        Raises:
            HistoryPruned: the node has thrown away logs of the range.
            RpcUnavailable: the node answered nothing for ``Windows.outage`` seconds.
        """
        await self._refuse_pruned(first)
        outage = self._windows.outage
        await self._cover(
            Query(wanted), (first, last), lambda part: took(part.table, part.span[1]), outage=outage
        )

    async def _refuse_pruned(self, block: int) -> None:
        """Raise HistoryPruned where the node does not even have the header of a block."""
        if await self._header(block) is None:
            raise pruned(f"it does not have block {block}")

    async def _header(self, block: int) -> Mapping[str, Json] | None:
        try:
            return document(await read_header(self._rpc, block), "the block")
        except BlockUnknown:
            return None

    async def _cover(
        self, query: Query, span: Span, took: Callable[[Part], None], *, outage: float
    ) -> None:
        """Ask for windows of the span, several at once, and hand on the parts in order."""
        cursor, last = span
        done: dict[int, Sequence[Part]] = {}
        reported = cursor

        async def work(_: int) -> None:
            nonlocal cursor, reported
            while cursor <= last:
                window = (cursor, min(last, cursor + self._pace.length - 1))
                cursor = window[1] + 1
                done[window[0]] = await self._persistently(query, window, outage)
                while reported in done:
                    parts = done.pop(reported)
                    reported = parts[-1].span[1] + 1
                    for part in parts:
                        took(part)

        workers = range(self._windows.in_flight)
        await each(workers, work, in_flight=len(workers))

    async def _persistently(self, query: Query, window: Span, outage: float) -> Sequence[Part]:
        """Return a window's parts, waiting for a node that answers nothing for a while."""
        pause, waited = FIRST_PAUSE, 0.0
        while True:
            try:
                return await self._window(query, window)
            except (RpcUnavailable, BlockUnknown):
                if waited >= outage:
                    raise
                # No two keepers should come back at the same moment.
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
                waited, pause = waited + pause, min(2 * pause, LONGEST_PAUSE)

    async def _window(self, query: Query, span: Span) -> list[Part]:
        """Return the parts of a window, one if the node gives it whole."""
        wanted, length, named = query.wanted, span[1] - span[0] + 1, None
        try:
            part = await self._asked(query, span)
            if length == 1:
                return [await self._whole_block(wanted, part)]
            if await self._is_whole(wanted, part):
                self._pace.answered(length)
                return [part]
        except RpcRefused as error:
            if is_pruned(error):
                raise pruned(error.text) from None
            if not _may_be_too_much(error):
                raise
            if length == 1:
                return [await self._from_receipts(wanted, span[0], error)]
            named = named_limit(error.text, length)
        except (RpcTooLarge, RpcUnavailable) as error:
            answered = isinstance(error, RpcTooLarge)
            if length == 1 or not (answered or await self._is_alive()):
                raise
        size = self._pace.refused(length, named)
        starts = range(span[0], span[1] + 1, size)
        spans = [(start, min(span[1], start + size - 1)) for start in starts]
        return [part for each_ in spans for part in await self._window(query, each_)]

    async def _asked(self, query: Query, span: Span) -> Part:
        (first, last), wanted = span, query.wanted
        criteria = {"fromBlock": hex(first), "toBlock": hex(last), **filter_document(wanted)}

        async def ask(place: int) -> Part:
            await self._refuse_unserved(place, last)
            answer = await self._rpc.ask(place, LOGS_METHOD, criteria)
            query.check(answer)
            return self._part(wanted, span, answer)

        return await self._rpc.read_with(ask, block=last)

    async def _refuse_unserved(self, place: int, last: int) -> None:
        """
        Raise BlockUnknown where an endpoint does not have the last block of a range yet.

        Nodes answer such a range without a word of what is missing.
        """
        if last <= self._served.get(place, -1) or not self._rpc.pool.blocks.is_young(last):
            return
        await ask_header(self._rpc, place, last)
        self._served[place] = last

    def _part(self, wanted: LogFilter, span: Span, answer: Json) -> Part:
        table = log_table(answer)
        refuse_unwanted(table, wanted)
        if table.rows and not span[0] <= min(table.blocks) <= max(table.blocks) <= span[1]:
            raise RpcMalformed("the logs of a range hold another block's")
        return Part(span, answer, table)

    def _has_suspicious_size(self, part: Part) -> bool:
        rows = part.table.rows
        return rows in USUAL_CAPS or (self.cut is not None and rows >= self.cut)

    async def _whole_block(self, wanted: LogFilter, part: Part) -> Part:
        """Return one block's logs; from its receipts where the answer may have been cut."""
        if not self._has_suspicious_size(part):
            return part
        block, rows = part.span[0], part.table.rows
        try:
            return await self._from_receipts(wanted, block, RpcRefused())
        except RpcRefused:
            if self.cut is None:
                return part
            raise RpcMalformed(
                f"the node cuts its answers off at {rows} logs, and block {block} may have more",
                hint="use another endpoint",
            ) from None

    async def _is_whole(self, wanted: LogFilter, part: Part) -> bool:
        """Whether nothing seems to be left out of a window's answer."""
        rows, blocks = part.table.rows, part.table.blocks
        if self._has_suspicious_size(part):
            return False
        if rows:
            edges = ((part.span[0], min(blocks)), (max(blocks), part.span[1]))
            for edge, at in zip(edges, (min(blocks), max(blocks)), strict=True):
                again = await self._asked(Query(wanted), edge)
                if again.table.rows != blocks.count(at):
                    self.cut = min(self.cut or rows, rows)
                    return False
        self._asked_windows += 1
        return bool(self._asked_windows % SAMPLE_EVERY) or await self._bloom_agrees(wanted, part)

    async def _bloom_agrees(self, wanted: LogFilter, part: Part) -> bool:
        """Whether a block of the window, chosen by chance, has the logs that it should have."""
        block = random.randint(*part.span)  # noqa: S311 - no secret
        header = await self._header(block)
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
        again = await self._asked(Query(wanted), part.span)
        if rows == again.table.blocks.count(block):  # a reorganisation came between
            return False
        raise RpcMalformed(
            f"the node leaves out logs of block {block} where it is asked for a range",
            hint="use another endpoint",
        )

    async def _from_receipts(self, wanted: LogFilter, block: int, why: RpcRefused) -> Part:
        """Return the logs of one block that has too many for one answer."""
        try:
            return await read_block_receipts(
                self._rpc, block, lambda receipts: self._accepted(wanted, block, receipts)
            )
        except (RpcRefused, BlockUnknown):
            raise why from None

    def _accepted(
        self, wanted: LogFilter, block: int, receipts: Sequence[Mapping[str, Json]]
    ) -> Part:
        """Return those logs of a block's receipts that are wanted."""
        logs = [log for receipt in receipts for log in _logs_in(receipt)]
        accepted = [
            raw
            for raw, log in zip(logs, self._reader.logs_of(logs), strict=True)
            if wanted.accepts(log)
        ]
        return self._part(wanted, (block, block), accepted)

    async def _is_alive(self) -> bool:
        """Whether the node answers anything at all: then it was the question that was too long."""
        try:
            await self._rpc.request(HEIGHT)
        except RpcUnavailable:
            return False
        except ChainError:
            return True  # a refusal is an answer
        return True


def pruned(detail: str) -> HistoryPruned:
    """Return the error for a node that lacks the history, with the way out."""
    return HistoryPruned(
        f"the node no longer has the market's old logs: {detail}",
        hint="put an endpoint that keeps all logs first for one start (the book file keeps what"
        " was found), or set the market's from_block if it is too early",
    )


def _logs_in(receipt: Mapping[str, Json]) -> list[Json]:
    return sequence(receipt.get("logs"), "a receipt's logs")


def _may_be_too_much(error: RpcRefused) -> bool:
    """Whether a smaller range may be answered: anything but an unknown method or a closed door."""
    return error.number not in (-32601, -401, -403, -404)
