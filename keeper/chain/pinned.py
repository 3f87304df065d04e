"""Contract calls at a pinned block, sent to each endpoint in the form that it accepts."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from keeper.chain import fields
from keeper.chain.batching import BATCH, Answer, BatchRead
from keeper.chain.call_gas import CallGas, Run
from keeper.chain.capabilities import Capability
from keeper.chain.fields import Json
from keeper.chain.pinning import BlockParameter, Pinning
from keeper.chain.refusal import failed_in_evm
from keeper.chain.rpc import Rpc
from keeper.domain.errors import ChainError, RpcMalformed, RpcRefused
from keeper.domain.head import Basis, CodeOverride
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, Gas

T = TypeVar("T")
Ask = Callable[[int, BlockParameter], Awaitable[T]]
"""Asks one endpoint, told the block in the form that the endpoint takes."""


class PinnedReads:
    """Calls at a pinned block, each with a fixed gas."""

    def __init__(self, rpc: Rpc, pinning: Pinning, gas: Gas) -> None:
        self.rpc = rpc
        self.gas = gas
        self._pinning = pinning
        self._call_gas = CallGas(rpc)

    async def read_at(self, basis: Basis, ask: Ask[T]) -> T:
        """Return the result of ``ask`` for an endpoint that answers at the block."""
        return await self._pinning.at(
            basis.block_hash,
            lambda block: self.rpc.read_with(lambda endpoint: ask(endpoint, block)),
        )

    async def call(
        self,
        target: Address,
        data: str,
        basis: Basis,
        *,
        sender: Address | None = None,
        fees: Mapping[str, object] | None = None,
    ) -> bytes:
        """Return the result of a contract. A revert raises ``RpcRefused`` with its data."""
        transaction: dict[str, object] = {"to": target, "data": data, **(fees or {})}
        if sender is not None:
            transaction["from"] = sender

        async def ask(endpoint: int, block: BlockParameter) -> bytes:
            return await self.ask_call(endpoint, block, transaction, basis)

        return await self.read_at(basis, ask)

    async def ask_call(
        self, endpoint: int, block: BlockParameter, transaction: Mapping[str, object], basis: Basis
    ) -> bytes:
        """Run a transaction at one endpoint, at most with the gas that the endpoint accepts.

        Block overrides are applied if the endpoint has them. If only the overridden call fails, the
        endpoint is recorded as lacking them.
        """
        if not basis.landing or not self.rpc.capabilities.has(endpoint, Capability.BLOCK_OVERRIDES):
            return await self._run(endpoint, transaction, (block, *overrides(basis)))
        rest = (block, state_overrides(basis.overlay), dict(basis.landing))
        try:
            answer = await self._run(endpoint, transaction, rest)
        except (RpcRefused, RpcMalformed) as error:
            if isinstance(error, RpcRefused) and (error.data or failed_in_evm(error)):
                raise
            answer = await self._run(endpoint, transaction, (block, *overrides(basis)))
            self.rpc.capabilities.learn_lack(endpoint, Capability.BLOCK_OVERRIDES, str(error))
            return answer
        self.rpc.capabilities.learn_success(endpoint, Capability.BLOCK_OVERRIDES)
        return answer

    async def _run(
        self, endpoint: int, transaction: Mapping[str, object], rest: tuple[object, ...]
    ) -> bytes:
        run: Run = ("eth_call", {**transaction, "gas": hex(self.gas)}, rest)
        return fields.data(await self._call_gas.ask(endpoint, run), "the returned data")

    def single_calls(self, calls: Sequence[Call], basis: Basis) -> "SingleCalls":
        """Return the calls as separate requests, many in one message."""
        transactions = [
            {"to": call.target, "data": "0x" + call.data.hex(), "gas": hex(self.gas)}
            for call in calls
        ]
        return SingleCalls(self.rpc, self._call_gas, transactions, overrides(basis))


class SingleCalls:
    """Calls that are read one by one. Answers are kept over repeated attempts."""

    def __init__(
        self,
        rpc: Rpc,
        call_gas: CallGas,
        transactions: Sequence[Mapping[str, object]],
        rest: tuple[object, ...],
    ) -> None:
        self._rpc = rpc
        self._call_gas = call_gas
        self._transactions = transactions
        self._rest = rest
        self._reads: dict[str, list[BatchRead]] = {}

    async def ask(self, endpoint: int, block: BlockParameter) -> list[CallResult]:
        """Request all calls at one endpoint. A failed call fails alone."""
        results = list[CallResult]()
        runs: list[Run] = [
            ("eth_call", transaction, (block, *self._rest)) for transaction in self._transactions
        ]
        parts = [runs[start : start + BATCH] for start in range(0, len(runs), BATCH)]
        reads = [self._build_batch(part) for part in parts]
        if isinstance(block, dict):  # what was answered by hash stays true
            reads = self._reads.setdefault(str(block), reads)
        for part, read in zip(parts, reads, strict=True):
            answers: list[Answer] = await read.ask(endpoint)
            read.forget_momentary(endpoint)
            mended = await self._call_gas.mend(endpoint, part, answers)
            results += [_decode_result(answer) for answer in mended]
        return results

    def _build_batch(self, runs: Sequence[Run]) -> BatchRead:
        return BatchRead(
            self._rpc, lambda endpoint: [self._call_gas.request(endpoint, run) for run in runs]
        )


def overrides(basis: Basis) -> tuple[Mapping[str, object], ...]:
    """Return the state overrides parameter, if there is an overlay."""
    return (state_overrides(basis.overlay),) if basis.overlay else ()


def state_overrides(overlay: Sequence[CodeOverride]) -> Mapping[str, object]:
    """Encode an overlay for ``eth_call`` and ``eth_simulateV1``."""
    return {placed.address: _encode_override(placed) for placed in overlay}


def _encode_override(placed: CodeOverride) -> Mapping[str, object]:
    found: dict[str, object] = {}
    if placed.code:
        found["code"] = "0x" + placed.code.hex()
    if placed.storage:
        found["stateDiff"] = {
            "0x" + place.hex(): "0x" + value.hex() for place, value in placed.storage
        }
    if placed.balance is not None:
        found["balance"] = hex(placed.balance)
    return found


def _decode_result(answer: Json | ChainError) -> CallResult:
    if isinstance(answer, RpcRefused) and failed_in_evm(answer):
        return CallResult(success=False, data=answer.data)
    if isinstance(answer, ChainError):
        raise answer
    return CallResult(success=True, data=fields.data(answer, "the returned data"))
