"""Logs of long ranges, in windows as large as the node accepts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keeper.chain.concurrent import each
from keeper.chain.fields import Json, LogReader
from keeper.chain.rpc import Rpc
from keeper.domain.errors import RpcMalformed, RpcRefused, RpcUnavailable
from keeper.domain.reads import Log, LogFilter
from keeper.domain.units import BlockHash

METHOD: Final = "eth_getLogs"
SILENT_WINDOWS: Final = 2
"""How often a window may be halved because the node did not answer at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """How a range is cut, in blocks."""

    first: int = 10_000
    most: int = 100_000
    in_flight: int = 4


class LogSource:
    """Asks for logs and checks that they are what was asked for."""

    def __init__(self, rpc: Rpc, windows: Windows | None = None) -> None:
        self._rpc = rpc
        self._windows = windows or Windows()
        self._size = self._windows.first
        self._reader = LogReader()

    def logs_of(self, value: Json) -> list[Log]:
        """Return the logs of a receipt or an answer."""
        return self._reader.logs_of(value)

    async def in_block(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Return one block's logs; RpcMalformed where the node mixes in another block's."""
        answer = await self._rpc.read(METHOD, {"blockHash": block_hash, **_filter(wanted)})
        logs = self._checked(answer, wanted)
        if any(log.block_hash != block_hash for log in logs):
            raise RpcMalformed("the logs of a block hold another block's")
        return logs

    async def between(self, wanted: LogFilter, first: int, last: int) -> list[Log]:
        """Return the logs of a range, both ends included, in the chain's order."""
        found, cursor = list[Log](), first
        while cursor <= last:
            size = self._size
            starts = range(cursor, min(last, cursor + size * self._windows.in_flight - 1) + 1, size)
            spans = [(start, min(last, start + size - 1)) for start in starts]
            parts = await each(
                spans,
                lambda span: self._window(wanted, span, SILENT_WINDOWS),
                in_flight=self._windows.in_flight,
            )
            found.extend(log for part in parts for log in part)
            cursor = spans[-1][1] + 1
            if self._size == size:
                self._size = min(self._windows.most, size * 2)
        return found

    async def _window(self, wanted: LogFilter, span: tuple[int, int], patience: int) -> list[Log]:
        first, last = span
        criteria = {"fromBlock": hex(first), "toBlock": hex(last), **_filter(wanted)}
        try:
            answer = await self._rpc.read(METHOD, criteria)
        except RpcRefused as error:
            if first == last or not _may_be_too_much(error):
                raise
        except RpcUnavailable:
            if first == last or patience == 0:
                raise
            patience -= 1
        else:
            logs = self._checked(answer, wanted)
            if any(not first <= log.block_number <= last for log in logs):
                raise RpcMalformed("the logs of a range hold another block's")
            return sorted(logs, key=lambda log: (log.block_number, log.index))
        middle = (first + last) // 2
        self._size = max(1, min(self._size, middle - first + 1))
        return [
            *await self._window(wanted, (first, middle), patience),
            *await self._window(wanted, (middle + 1, last), patience),
        ]

    def _checked(self, answer: Json, wanted: LogFilter) -> list[Log]:
        logs = self._reader.logs_of(answer)
        if not all(map(wanted.accepts, logs)):
            raise RpcMalformed("the node returned a log that was not asked for")
        return logs


def _filter(wanted: LogFilter) -> Mapping[str, object]:
    criteria: dict[str, object] = {}
    if wanted.addresses:
        criteria["address"] = list(wanted.addresses)
    if wanted.topics:
        criteria["topics"] = [
            ["0x" + topic.hex() for topic in alternatives] or None for alternatives in wanted.topics
        ]
    return criteria


def _may_be_too_much(error: RpcRefused) -> bool:
    """Whether a smaller range may be answered: anything but an unknown method or a closed door."""
    return error.number not in (-32601, -401, -403, -404)
