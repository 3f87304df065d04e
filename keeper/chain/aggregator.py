"""Many contract reads at one block in few requests.

Multicall3 aggregates them if it is deployed. Otherwise, or if another contract is at its address,
the keeper's own aggregator runs undeployed. If a node refuses that too, the calls are sent one by
one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from keeper.chain.capabilities import Capability
from keeper.chain.concurrent import each
from keeper.chain.deployless import Deployless
from keeper.chain.multicall import (
    Limits,
    Packer,
    aggregator_code,
    chunks,
    packed_calls,
    probe,
    proves_aggregator,
    unpacked,
)
from keeper.chain.oversized import is_too_costly
from keeper.chain.pinned import PinnedReads, SingleCalls
from keeper.chain.pinning import BlockParameter
from keeper.chain.refusal import failed_in_evm, is_too_much, is_too_much_code
from keeper.chain.state_clock import StateClock
from keeper.domain.errors import ChainError, RpcMalformed, RpcRefused, RpcTooLarge
from keeper.domain.head import Basis
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address

SMALLEST_CHUNK: Final = 8
KNOWN_FAILURES: Final = 4096

_EMPTY_FAILURE: Final = CallResult(success=False, data=b"")


class Aggregator:
    """Aggregates reads at one block by the best method that each endpoint supports."""

    def __init__(
        self,
        reads: PinnedReads,
        deployless: Deployless,
        multicall: Address | None,
        limits: Limits,
    ) -> None:
        self._reads = reads
        self._limits = limits
        self._ways: list[Way] = [DeploylessWay(deployless)]
        self._clock: StateClock | None = None
        if multicall is not None:
            self._ways.insert(0, MulticallWay(reads, multicall))
            self._clock = StateClock(reads, multicall)
        self._known = Known()

    async def aggregate(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        """Read all the calls at one block, in few requests. A failed call fails alone."""
        if not calls:
            return []
        parts = await each(
            list(chunks(calls, self._limits)),
            lambda chunk: self._aggregate_chunk(chunk, basis),
            in_flight=self._limits.in_flight,
        )
        return [result for part in parts for result in part]

    async def _aggregate_chunk(self, chunk: tuple[Call, ...], basis: Basis) -> list[CallResult]:
        """Read one chunk, and isolate a contract that returns more than the size limit."""
        try:
            return await self._read_chunk(chunk, basis)
        except RpcTooLarge as error:
            if not error.by_contract:
                raise
        if len(chunk) == 1:
            return [_EMPTY_FAILURE]
        middle = len(chunk) // 2
        return [
            *await self._aggregate_chunk(chunk[:middle], basis),
            *await self._aggregate_chunk(chunk[middle:], basis),
        ]

    async def _read_chunk(self, chunk: tuple[Call, ...], basis: Basis) -> list[CallResult]:
        singles: dict[tuple[Call, ...], SingleCalls] = {}

        async def ask(endpoint: int, block: BlockParameter) -> list[CallResult]:
            chunk_read = ChunkRead(
                reads=self._reads,
                known=self._known,
                ways=self._ways,
                place=Place(endpoint, block, basis),
                singles=singles,
            )
            is_proven = (endpoint, Capability.MULTICALL3) in self._known.proven
            if self._clock is None or not is_proven:  # another contract may burn all the gas
                return await chunk_read.read(chunk)
            time, *results = await chunk_read.read((self._clock.call, *chunk))
            await self._clock.refuse_stale(time, endpoint, block, basis)
            return results

        return await self._reads.read_at(basis, ask)


class Place(NamedTuple):
    """Target of an aggregate. An endpoint, and the block in the form that it accepts."""

    endpoint: int
    block: BlockParameter
    basis: Basis


class Way(Protocol):
    """A method to run an aggregate. Its result is encoded like ``aggregate3``'s."""

    capability: Capability

    async def run(self, calls: tuple[Call, ...], place: Place) -> bytes:
        """Run the calls, each allowed to fail."""
        ...

    async def is_working(self, place: Place) -> bool:
        """Return whether an aggregate with known results succeeds. May raise ChainError."""
        ...

    def reason(self, error: ChainError) -> str:
        """Return a text on why the method is lacking."""
        ...


class MulticallWay:
    """Aggregates by the contract at an address, if it is Multicall3."""

    capability = Capability.MULTICALL3

    def __init__(self, reads: PinnedReads, address: Address) -> None:
        self._reads = reads
        self._address = address
        self._packer = Packer()

    async def run(self, calls: tuple[Call, ...], place: Place) -> bytes:
        """Call ``aggregate3``."""
        return await self._call_contract(self._packer.packed(calls), place)

    async def is_working(self, place: Place) -> bool:
        """Return whether an aggregate of an empty aggregate gives the right result."""
        nested = probe(self._address)
        return proves_aggregator(await self._call_contract("0x" + nested.data.hex(), place))

    def reason(self, error: ChainError) -> str:
        """Return the contract's failure, with its address."""
        return f"what is at {self._address} does not answer as Multicall3: {error}"

    async def _call_contract(self, data: str, place: Place) -> bytes:
        transaction = {"to": self._address, "data": data}
        return await self._reads.ask_call(place.endpoint, place.block, transaction, place.basis)


class DeploylessWay:
    """Aggregates by the keeper's own undeployed aggregator."""

    capability = Capability.DEPLOYLESS

    def __init__(self, deployless: Deployless) -> None:
        self._deployless = deployless

    async def run(self, calls: tuple[Call, ...], place: Place) -> bytes:
        """Run the aggregator's creation code."""
        initcode = aggregator_code() + packed_calls(calls)
        return await self._deployless.ask_large(place.endpoint, place.block, initcode, place.basis)

    async def is_working(self, place: Place) -> bool:
        """Return whether an empty aggregate gives the right result."""
        return await self.run((), place) == packed_calls(())

    def reason(self, error: ChainError) -> str:
        """Return the node's error."""
        return str(error)


class Known:
    """Observed properties of endpoints. Working methods, and their largest number of calls.

    ``fail_alone`` holds calls that also fail when they are read alone.
    """

    def __init__(self) -> None:
        self.proven: set[tuple[int, Capability]] = set()
        self.most: dict[tuple[int, Capability], int] = {}
        self.fail_alone: set[Call] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRead:
    """The read of one chunk at one endpoint."""

    reads: PinnedReads
    known: Known
    ways: Sequence[Way]
    place: Place
    singles: dict[tuple[Call, ...], SingleCalls]

    async def read(self, calls: tuple[Call, ...]) -> list[CallResult]:
        """Return the results by the first method that works at the endpoint.

        A method is recorded as lacking once a later one has worked. If none works, the fault is
        another one.

        Raises:
            ChainError: the first failure, if no method works.
        """
        capabilities, endpoint = self.reads.rpc.capabilities, self.place.endpoint
        lacking: dict[Way, RpcRefused | RpcMalformed] = {}
        for way in self.ways:
            if not capabilities.has(endpoint, way.capability):
                continue
            try:
                results = await self._read_by(way, calls)
            except _MethodLacking as lack:
                lacking[way] = lack.error
            else:
                capabilities.learn_success(endpoint, way.capability)
                break
        else:
            try:
                results = await self._read_singly(calls)
            except (RpcRefused, RpcMalformed) as error:
                if is_too_costly(error):
                    raise
                raise next(iter(lacking.values()), error) from None
        for way, failure in lacking.items():
            capabilities.learn_lack(endpoint, way.capability, way.reason(failure))
        return results

    async def _read_by(self, way: Way, calls: tuple[Call, ...]) -> list[CallResult]:
        key = (self.place.endpoint, way.capability)
        most = self.known.most.get(key, len(calls))
        if len(calls) > most:
            parts = [calls[start : start + most] for start in range(0, len(calls), most)]
            return [result for part in parts for result in await self._read_by(way, part)]
        try:
            results = unpacked(await way.run(calls, self.place), len(calls))
        except RpcTooLarge:
            raise  # what was not read tells nothing of the way
        except (RpcRefused, RpcMalformed) as error:
            if not await self._is_working(way, error):
                raise _MethodLacking(error) from None
            if not isinstance(error, RpcRefused) or not _may_be_cut(error):
                raise
            return await self._read_halves(way, calls)
        self.known.proven.add(key)
        return await self._read_starved(calls, results)

    async def _read_halves(self, way: Way, calls: tuple[Call, ...]) -> list[CallResult]:
        """Read the calls in two halves if the node refuses the whole."""
        if len(calls) == 1:
            return await self._read_singly(calls)
        middle, key = len(calls) // 2, (self.place.endpoint, way.capability)
        most = self.known.most.get(key, len(calls))
        self.known.most[key] = min(most, max(middle, SMALLEST_CHUNK))
        return [
            *await self._read_by(way, calls[:middle]),
            *await self._read_by(way, calls[middle:]),
        ]

    async def _is_working(self, way: Way, error: RpcRefused | RpcMalformed) -> bool:
        """Return whether the calls and not the method made an aggregate fail."""
        key = (self.place.endpoint, way.capability)
        if isinstance(error, RpcRefused) and key in self.known.proven:
            return True
        try:
            works = await way.is_working(self.place)
        except (RpcRefused, RpcMalformed):
            works = False
        if works:
            self.known.proven.add(key)
        else:
            self.known.proven.discard(key)
        return works

    async def _read_singly(self, calls: tuple[Call, ...]) -> list[CallResult]:
        single = self.singles.get(calls)
        if single is None:
            single = self.singles[calls] = self.reads.single_calls(calls, self.place.basis)
        return await single.ask(self.place.endpoint, self.place.block)

    async def _read_starved(
        self, calls: tuple[Call, ...], results: list[CallResult]
    ) -> list[CallResult]:
        """Read calls again, alone, if they failed without revert data.

        A call in an aggregate may fail because an earlier one used up the gas. Calls that fail
        alone too are stored and not retried.
        """
        fail_alone = self.known.fail_alone
        starved = [
            index
            for index, result in enumerate(results)
            if result == _EMPTY_FAILURE and calls[index] not in fail_alone
        ]
        if len(calls) == 1 or not starved:
            return results
        again = await self._read_singly(tuple(calls[index] for index in starved))
        for index, result in zip(starved, again, strict=True):
            results[index] = result
            if not result.success and len(fail_alone) < KNOWN_FAILURES:
                fail_alone.add(calls[index])
        return results


class _MethodLacking(Exception):
    """A method does not work at an endpoint."""

    def __init__(self, error: RpcRefused | RpcMalformed) -> None:
        super().__init__()
        self.error = error


def _may_be_cut(error: RpcRefused) -> bool:
    """Return whether fewer calls may succeed."""
    return failed_in_evm(error) or is_too_much(error) or is_too_much_code(error)
