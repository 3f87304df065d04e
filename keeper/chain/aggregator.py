"""Many contract reads at one block in few requests: by Multicall3, or call by call without it."""

import dataclasses
from collections.abc import Sequence
from typing import Final

from keeper.chain.concurrent import each
from keeper.chain.multicall import Limits, Packer, chunks, unpacked
from keeper.chain.pinned import PinnedReads
from keeper.chain.refusal import failed_in_evm, is_too_much
from keeper.domain.errors import RpcRefused, RpcTooLarge
from keeper.domain.head import Basis
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address

SMALLEST_CHUNK: Final = 8
KNOWN_FAILURES: Final = 4096

_EMPTY_FAILURE: Final = CallResult(success=False, data=b"")


class Aggregator:
    """
    Aggregates reads at one block.

    ``warnings`` says, once each, what the chain lacks for it.
    """

    def __init__(self, reads: PinnedReads, multicall: Address | None, limits: Limits) -> None:
        self.warnings: list[str] = []
        self._reads = reads
        self._multicall = multicall
        self._limits = limits
        self._packer = Packer()
        self._fail_alone: set[Call] = set()

    async def aggregate(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        """Read all the calls at one block, in few requests; a failed call fails alone."""
        if not calls:
            return []
        parts = await each(
            list(chunks(calls, self._limits)),
            lambda chunk: self._aggregate_chunk(chunk, basis),
            in_flight=self._limits.in_flight,
        )
        results = [result for part in parts for result in part]
        return await self._read_starved(calls, results, basis)

    async def _aggregate_chunk(self, chunk: tuple[Call, ...], basis: Basis) -> list[CallResult]:
        """Read one chunk; halve it where it is too much for the node."""
        if self._multicall is None:
            return await self._reads.call_each(chunk, basis)
        try:
            raw = await self._reads.call(self._multicall, self._packer.packed(chunk), basis)
        except RpcRefused as error:
            if not (failed_in_evm(error) or is_too_much(error)):
                raise
            return await self._aggregate_halves(chunk, basis)
        except RpcTooLarge as error:
            if not error.by_contract:
                raise
            return await self._aggregate_halves(chunk, basis)
        if not raw and not await self._reads.code(self._multicall, basis):
            self.warnings.append(f"no Multicall3 at {self._multicall}: reading call by call")
            self._multicall = None
            return await self._reads.call_each(chunk, basis)
        return unpacked(raw, len(chunk))

    async def _aggregate_halves(self, chunk: tuple[Call, ...], basis: Basis) -> list[CallResult]:
        if len(chunk) == 1:
            return await self._reads.call_each(chunk, basis)
        middle = len(chunk) // 2
        self._limits = dataclasses.replace(
            self._limits, calls=min(self._limits.calls, max(middle, SMALLEST_CHUNK))
        )
        return [
            *await self._aggregate_chunk(chunk[:middle], basis),
            *await self._aggregate_chunk(chunk[middle:], basis),
        ]

    async def _read_starved(
        self, calls: Sequence[Call], results: list[CallResult], basis: Basis
    ) -> list[CallResult]:
        """
        Read again, alone, what failed without a word.

        A call in an aggregate may fail only because one before it burnt the gas. Those that
        fail alone too are remembered and not asked for twice.
        """
        if len(calls) == 1 or self._multicall is None:
            return results
        starved = [
            index
            for index, result in enumerate(results)
            if result == _EMPTY_FAILURE and calls[index] not in self._fail_alone
        ]
        again = await self._reads.call_each([calls[index] for index in starved], basis)
        for index, result in zip(starved, again, strict=True):
            results[index] = result
            if not result.success and len(self._fail_alone) < KNOWN_FAILURES:
                self._fail_alone.add(calls[index])
        return results
