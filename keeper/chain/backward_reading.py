"""Reads the logs of a long range at one endpoint, newest first, with bounded requests.

Used for a range that was read before and proved to lack logs. It is split differently then, and
there is no hurry.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.chain.block_logs import filter_document
from keeper.chain.log_table import log_table, refuse_unwanted
from keeper.chain.logs import USUAL_CAPS
from keeper.chain.refusal import LOGS_METHOD
from keeper.chain.rpc import Rpc
from keeper.chain.windows import Pace, Windows, named_limit
from keeper.domain.errors import ChainError, RpcMalformed, RpcRefused
from keeper.domain.reads import LogFilter, LogTable

MOST_ERRORS: Final = 16
"""Errors in a row until an endpoint counts as one that does not give these logs."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """A part of a range's logs.

    The remaining spans were not read yet, in order. ``is_refused`` means that the endpoint did not
    answer in windows of any length.
    """

    tables: Sequence[LogTable] = ()
    rest: Sequence[Span] = ()
    is_refused: bool = False

    @property
    def rows(self) -> int:
        """The number of logs."""
        return sum(table.rows for table in self.tables)


@dataclass(slots=True)
class BackwardReader:
    """Reads one endpoint in ``windows`` of blocks that adapt to it.

    ``most_requests`` and ``most_rows`` limit one portion.
    """

    rpc: Rpc
    place: int
    windows: Windows
    most_requests: int
    most_rows: int
    _pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        """Start with windows of the first length."""
        self._pace = Pace(self.windows)

    async def read(self, wanted: LogFilter, spans: Sequence[Span]) -> Portion:
        """Return the next portion of these spans, each read from its end."""
        rest, tables, errors, rows = list(spans), list[LogTable](), 0, 0
        for _ in range(self.most_requests):
            if not rest or rows >= self.most_rows:
                break
            first, last = rest[0]
            start = max(first, last - self._pace.length + 1)
            try:
                table = await self._ask(wanted, (start, last))
            except ChainError as error:
                errors += 1
                if errors >= MOST_ERRORS:
                    return Portion(tables=tables, rest=rest, is_refused=True)
                self._reduce_window(last - start + 1, error)
                continue
            if table.rows in USUAL_CAPS and start < last:  # it may have been cut off there
                self._pace.refused(last - start + 1)
                continue
            errors = 0
            self._pace.answered(last - start + 1)
            if table.rows:
                tables.append(table)
            rows += table.rows
            rest[:1] = [(first, start - 1)] if start > first else []
        return Portion(tables=tables, rest=rest)

    async def _ask(self, wanted: LogFilter, span: Span) -> LogTable:
        first, last = span
        criteria = {"fromBlock": hex(first), "toBlock": hex(last), **filter_document(wanted)}
        table = log_table(await self.rpc.ask(self.place, LOGS_METHOD, criteria))
        refuse_unwanted(table, wanted)
        if table.rows and not first <= min(table.blocks) <= max(table.blocks) <= last:
            raise RpcMalformed("the logs of a range hold another block's")
        return table

    def _reduce_window(self, length: int, error: ChainError) -> None:
        named = named_limit(error.text, length) if isinstance(error, RpcRefused) else None
        self._pace.refused(length, named)
