"""Logs of one block by hash, or by number between two comparisons of the hash.

Some nodes refuse ``blockHash`` in ``eth_getLogs``, and some ignore it.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from keeper.chain.capabilities import Capability
from keeper.chain.fields import Json, LogReader
from keeper.chain.pinning import find_canonical
from keeper.chain.refusal import INVALID_REQUEST, LOGS_METHOD, METHOD_NOT_FOUND
from keeper.chain.rpc import Rpc
from keeper.domain.errors import ChainError, RpcMalformed, RpcRefused
from keeper.domain.reads import Log, LogFilter
from keeper.domain.units import BlockHash

FORM_SIGNS: Final = ("blockhash", "block hash", "not supported", "unsupported", "not implemented")
"""How nodes refuse the form of the question, and not the question."""
ENOUGH_REFUSALS: Final = 2
"""So many refusals in a row, without such words, mean that the form is not supported."""


class BlockLogs:
    """Fetches the logs of single blocks, at each endpoint in the form that it supports."""

    def __init__(self, rpc: Rpc, reader: LogReader) -> None:
        self._rpc = rpc
        self._reader = reader
        self._refusals: Counter[int] = Counter()

    async def fetch(self, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Fetch one block's logs.

        Raises:
            RpcMalformed: the node returns logs of another block, or logs outside the filter.
            SnapshotReorged: another block is canonical in its place.
            BlockUnknown: no endpoint had the block in time.
        """
        return await self._rpc.read_with(
            lambda place: self._fetch_from(place, wanted, block_hash), block=block_hash
        )

    async def _fetch_from(self, place: int, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        """Fetch from one endpoint, by number if it refuses or ignores the hash."""
        capabilities = self._rpc.capabilities
        if not capabilities.has(place, Capability.LOGS_BY_HASH):
            return await self._fetch_by_number(place, wanted, block_hash)
        try:
            logs = await self._fetch_by_hash(place, wanted, block_hash)
        except (RpcRefused, RpcMalformed) as error:
            if isinstance(error, RpcRefused) and error.number == METHOD_NOT_FOUND:
                raise
            return await self._fetch_instead(place, wanted, block_hash, error)
        self._refusals.pop(place, None)
        capabilities.learn_success(place, Capability.LOGS_BY_HASH)
        return logs

    async def _fetch_instead(
        self, place: int, wanted: LogFilter, block_hash: BlockHash, error: ChainError
    ) -> list[Log]:
        """Fetch by number after a refusal, and record the lack if that works."""
        try:
            logs = await self._fetch_by_number(place, wanted, block_hash)
        except (RpcRefused, RpcMalformed):
            raise error from None
        self._refusals[place] += 1
        if _is_form_refusal(error) or self._refusals[place] >= ENOUGH_REFUSALS:
            reason = error.text if isinstance(error, RpcRefused) else str(error)
            self._rpc.capabilities.learn_lack(place, Capability.LOGS_BY_HASH, reason)
        return logs

    async def _fetch_by_hash(
        self, place: int, wanted: LogFilter, block_hash: BlockHash
    ) -> list[Log]:
        criteria = {"blockHash": block_hash, **filter_document(wanted)}
        return self._check_logs(
            await self._rpc.ask(place, LOGS_METHOD, criteria), wanted, block_hash
        )

    async def _fetch_by_number(
        self, place: int, wanted: LogFilter, block_hash: BlockHash
    ) -> list[Log]:
        number = hex(await find_canonical(self._rpc, place, block_hash))
        criteria = {"fromBlock": number, "toBlock": number, **filter_document(wanted)}
        answer = await self._rpc.ask(place, LOGS_METHOD, criteria)
        await find_canonical(self._rpc, place, block_hash)
        return self._check_logs(answer, wanted, block_hash)

    def _check_logs(self, answer: Json, wanted: LogFilter, block_hash: BlockHash) -> list[Log]:
        logs = self._reader.logs_of(answer)
        if not all(map(wanted.accepts, logs)):
            raise RpcMalformed("the node returned a log that was not asked for")
        if any(log.block_hash != block_hash for log in logs):
            raise RpcMalformed("the logs of a block hold another block's")
        return logs


def filter_document(wanted: LogFilter) -> Mapping[str, object]:
    """Return a filter's addresses and topics in the form of ``eth_getLogs``."""
    criteria: dict[str, object] = {}
    if wanted.addresses:
        criteria["address"] = list(wanted.addresses)
    if wanted.topics:
        criteria["topics"] = [
            ["0x" + topic.hex() for topic in alternatives] or None for alternatives in wanted.topics
        ]
    return criteria


def _is_form_refusal(error: ChainError) -> bool:
    if not isinstance(error, RpcRefused):
        return False
    said = error.text.lower()
    return error.number in INVALID_REQUEST or any(sign in said for sign in FORM_SIGNS)
