"""Checks blocks with possibly missing logs again, at each endpoint, by range or by receipts.

A node may answer for a young block without its logs, or omit some, and without an error. Logs from
any endpoint count, since a wrong log only causes an account to be read.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from keeper.chain.backward_reading import BackwardReader
from keeper.chain.block_logs import filter_document
from keeper.chain.block_receipts import read_block_receipts
from keeper.chain.bloom import BLOOM_BITS, bloom_of
from keeper.chain.fields import Json, LogReader, document
from keeper.chain.headers import ask_header
from keeper.chain.logs import LogSource
from keeper.chain.refusal import LOGS_METHOD
from keeper.chain.rpc import Rpc
from keeper.chain.windows import Windows
from keeper.domain.errors import ChainError, RpcMalformed, RpcUnavailable
from keeper.domain.reads import Log, LogFilter, LogKey, log_key
from keeper.domain.units import BlockHash

log = logging.getLogger(__name__)

T = TypeVar("T")
Block = tuple[int, BlockHash]


@dataclass(slots=True)
class Sight:
    """Logs seen in a check.

    ``proven`` are blocks with receipts that are complete by the header's bloom filter. For a range,
    ``is_answered`` means that an endpoint answered, ``is_whole`` that it returned all known logs.
    """

    logs: dict[LogKey, Log] = field(default_factory=dict)
    proven: set[BlockHash] = field(default_factory=set)
    is_answered: bool = False
    is_whole: bool = False

    def add(self, logs: Iterable[Log]) -> None:
        """Add logs without duplicates."""
        self.logs.update({log_key(one): one for one in logs})


@runtime_checkable
class HasRpc(Protocol):
    """A reader over JSON-RPC."""

    @property
    def rpc(self) -> Rpc:
        """Return the endpoints."""
        ...


class SecondLook:
    """Searches the endpoints of one connection for logs."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._reader = LogReader()
        self._ranges = LogSource(rpc)
        self._turn = 0

    def begin(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Start a task that ends when the connection closes."""
        return self._rpc.later(work)

    def places(self) -> list[int]:
        """Return the usable endpoints in the order of the settings."""
        return sorted(self._rpc.pool.alive())

    def backward_reader(
        self, place: int, windows: Windows, most_requests: int, most_rows: int
    ) -> BackwardReader:
        """Build a reader of long ranges at one endpoint."""
        return BackwardReader(self._rpc, place, windows, most_requests, most_rows)

    async def look_by_range(
        self, wanted: LogFilter, first: int, last: int, known: AbstractSet[LogKey]
    ) -> Sight:
        """Fetch the logs of many blocks from one endpoint, a different one each time.

        The others are used if it does not answer, or omits known logs.
        """
        places = self.places()
        self._turn += 1
        seen = Sight()
        for step in range(len(places)):
            place = places[(self._turn + step) % len(places)]
            answer = await self._fetch_range(place, wanted, first, last)
            if answer is None:
                continue
            sight = answer
            seen.add(sight.logs.values())
            seen.is_answered = True
            if known <= sight.logs.keys():
                seen.is_whole = True
                break
            self._report_missing(place, known - sight.logs.keys())
        return seen

    async def look_everywhere(
        self, wanted: LogFilter, blocks: Sequence[Block], first: int, last: int
    ) -> Sight:
        """Fetch blocks by hash, and a range, from every endpoint.

        An endpoint that omits another's logs becomes less preferred.
        """
        places = self._rpc.pool.alive()
        by_hash = [self._fetch_blocks(place, wanted, blocks) for place in places]
        by_range = [self._fetch_range(place, wanted, first, last) for place in places]
        sights = await asyncio.gather(*by_hash, *by_range)
        seen = Sight(is_answered=any(sights[len(places) :]))
        for part in filter(None, sights):
            seen.add(part.logs.values())
        hashes = {block_hash for _, block_hash in blocks}
        shown = {key for key in seen.logs if key[0] in hashes}
        for place, sight in zip(places, sights, strict=False):
            if sight is not None and not shown <= sight.logs.keys():
                self._report_missing(place, shown - sight.logs.keys())
        return seen

    async def look_at_receipts(self, wanted: LogFilter, blocks: Sequence[Block]) -> Sight:
        """Read the receipts of blocks from the first endpoint that has all of them."""
        seen = Sight()
        for block in blocks:
            for place in self._rpc.pool.alive():
                with contextlib.suppress(ChainError):
                    logs, is_proven = await self._fetch_receipts(place, block)
                    seen.add(one for one in logs if wanted.accepts(one))
                    if is_proven:
                        seen.proven.add(block[1])
                        break
        return seen

    async def _fetch_range(
        self, place: int, wanted: LogFilter, first: int, last: int
    ) -> Sight | None:
        span = {"fromBlock": hex(first), "toBlock": hex(last), **filter_document(wanted)}
        logs: list[Log] | None
        try:
            logs = self._reader.logs_of(await self._rpc.ask(place, LOGS_METHOD, span))
        except ChainError:
            logs = await self._fetch_in_windows(place, wanted, first, last)
        return _build_sighting(logs, wanted)

    async def _fetch_in_windows(
        self, place: int, wanted: LogFilter, first: int, last: int
    ) -> list[Log] | None:
        """Fetch a range in windows that the node accepts. None if it does not answer."""
        try:
            with self._rpc.only(place):
                return await self._ranges.between(wanted, first, last)
        except ChainError:
            return None

    async def _fetch_blocks(
        self, place: int, wanted: LogFilter, blocks: Sequence[Block]
    ) -> Sight | None:
        logs = list[Log]()
        for _, block_hash in blocks:
            criteria = {"blockHash": block_hash, **filter_document(wanted)}
            try:
                answer = await self._rpc.ask(place, LOGS_METHOD, criteria)
                logs += self._reader.logs_of(answer)
            except ChainError:
                return None
        return _build_sighting(logs, wanted)

    def _report_missing(self, place: int, missing: AbstractSet[LogKey]) -> None:
        """Prefer other endpoints to one that omitted logs."""
        log.warning("logs_left_out endpoint=%d logs=%d", place, len(missing))
        if len(self._rpc.pool.alive()) > 1:
            self._rpc.pool.failed(place, RpcUnavailable("it leaves out logs"))

    async def _fetch_receipts(self, place: int, block: Block) -> tuple[list[Log], bool]:
        """Fetch a block's logs from its receipts, and whether the header proves them complete."""
        number, block_hash = block
        header = document(await ask_header(self._rpc, place, block_hash), "the block")
        with self._rpc.only(place):
            logs = await read_block_receipts(
                self._rpc,
                number,
                lambda receipts: [
                    log for receipt in receipts for log in self._reader.logs_of(receipt.get("logs"))
                ],
            )
        if any(one.block_hash != block_hash for one in logs):
            raise RpcMalformed("the receipts are of another block")
        return logs, _is_counted_through(logs) and _is_proof(header.get("logsBloom"), logs)


def second_look_over(reader: object) -> SecondLook | None:
    """Return a recheck over a reader's endpoints. None for a reader without any."""
    return SecondLook(reader.rpc) if isinstance(reader, HasRpc) else None


def _build_sighting(logs: Sequence[Log] | None, wanted: LogFilter) -> Sight | None:
    if logs is None:
        return None
    sight = Sight()
    sight.add(one for one in logs if wanted.accepts(one) and not one.removed)
    return sight


def _is_counted_through(logs: Sequence[Log]) -> bool:
    """Return whether the logs' indices in their block have no gap."""
    return sorted(one.index for one in logs) == list(range(len(logs)))


def _is_proof(bloom: Json, logs: Sequence[Log]) -> bool:
    """Return whether a header's bloom filter proves that these are all logs of its block.

    A bloom of only zeros or only ones proves nothing.
    """
    if not isinstance(bloom, str):
        return False
    try:
        bits = int(bloom, 16)
    except ValueError:
        return False
    return 0 < bits < 2**BLOOM_BITS - 1 and bits == bloom_of(logs)
