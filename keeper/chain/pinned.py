"""Reads of the state at a pinned block: contract calls, code and balances."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from keeper.chain import fields
from keeper.chain.batching import Answer, BatchRead
from keeper.chain.call_gas import CallGas, Run
from keeper.chain.fields import Json
from keeper.chain.pinning import BlockParameter, Pinning
from keeper.chain.refusal import failed_in_evm, is_too_much_code
from keeper.chain.rpc import Rpc
from keeper.domain.errors import ChainError, RpcRefused, RpcTooLarge
from keeper.domain.head import Basis, CodeOverride
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, Gas, Wei

BATCH: Final = 100
"""Requests in one message."""
LENS: Final = Address("0x00000000000000000000000000000000001E4500")
"""Where code is placed that is deployed nowhere."""


class PinnedReads:
    """State at a pinned block, where each call is given so much gas."""

    def __init__(self, rpc: Rpc, pinning: Pinning, gas: Gas) -> None:
        self._rpc = rpc
        self._pinning = pinning
        self._gas = gas
        self._call_gas = CallGas(rpc)

    async def call(
        self, target: Address, data: str, basis: Basis, *, sender: Address | None = None
    ) -> bytes:
        """Return what a contract returns; a revert raises ``RpcRefused`` with its data."""
        own: dict[str, object] = {} if sender is None else {"from": sender}
        return await self._eth_call(
            {"to": target, "data": data, "gas": hex(self._gas)} | own, basis
        )

    async def call_each(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        """Read each call as a request of its own, many in one message."""
        parts = [calls[start : start + BATCH] for start in range(0, len(calls), BATCH)]
        return [result for part in parts for result in await self._call_part(part, basis)]

    async def deployless(self, initcode: bytes, basis: Basis) -> bytes:
        """
        Run code that is deployed nowhere and return what it returns.

        A deployment may return 24,576 bytes and cost gas for each; what returns more runs as
        the code of an unused address instead.
        """
        transaction = {"data": "0x" + initcode.hex(), "gas": hex(self._gas)}
        try:
            return await self._eth_call(transaction, basis)
        except RpcRefused as error:
            if not is_too_much_code(error):
                raise
        lens = CodeOverride(address=LENS, code=initcode)
        placed = dataclasses.replace(basis, overlay=(*basis.overlay, lens))
        return await self.call(LENS, "0x", placed)

    async def code(self, address: Address, basis: Basis) -> bytes:
        """Return a contract's code; empty where there is none."""
        for override in basis.overlay:
            if override.address == address:
                return override.code
        return fields.data(await self._of_account("eth_getCode", address, basis), "the code")

    async def balance(self, address: Address, basis: Basis) -> Wei:
        """Return an account's native balance."""
        answer = await self._of_account("eth_getBalance", address, basis)
        return Wei(fields.quantity(answer, "the balance"))

    async def _of_account(self, method: str, address: Address, basis: Basis) -> Json:
        return await self._pinning.at(
            basis.block_hash, lambda block: self._rpc.read(method, address, block)
        )

    async def _eth_call(self, transaction: Mapping[str, object], basis: Basis) -> bytes:
        return fields.data(
            await self._evaluate("eth_call", transaction, basis), "the returned data"
        )

    async def _evaluate(self, method: str, transaction: Mapping[str, object], basis: Basis) -> Json:
        """Run a transaction on the pinned block, with as much gas as the endpoint takes."""

        async def ask(block: BlockParameter) -> Json:
            rest = (block, *overrides(basis))
            return await self._rpc.read_with(
                lambda endpoint: self._call_gas.ask(endpoint, (method, transaction, rest))
            )

        return await self._pinning.at(basis.block_hash, ask)

    async def _call_part(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        reads = dict[str, BatchRead]()

        async def ask(block: BlockParameter) -> list[CallResult]:
            rest = (block, *overrides(basis))
            runs: list[Run] = [("eth_call", self._transaction(call), rest) for call in calls]
            read = BatchRead(
                self._rpc,
                lambda endpoint: [self._call_gas.request(endpoint, run) for run in runs],
            )
            if isinstance(block, dict):  # what was answered by hash stays true
                read = reads.setdefault(str(block), read)

            async def ask_endpoint(endpoint: int) -> list[Answer]:
                answers = await read.ask(endpoint)
                return await self._call_gas.mend(endpoint, runs, answers)

            return [_result(answer) for answer in await self._rpc.read_with(ask_endpoint)]

        try:
            return await self._pinning.at(basis.block_hash, ask)
        except RpcTooLarge as error:
            if not error.by_contract:
                raise
        return await self._call_halves(calls, basis)

    async def _call_halves(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        """Find the contract that returns more than is read; its call counts as failed."""
        if len(calls) == 1:
            return [CallResult(success=False, data=b"")]
        middle = len(calls) // 2
        return [
            *await self._call_part(calls[:middle], basis),
            *await self._call_part(calls[middle:], basis),
        ]

    def _transaction(self, call: Call) -> Mapping[str, object]:
        return {"to": call.target, "data": "0x" + call.data.hex(), "gas": hex(self._gas)}


def overrides(basis: Basis) -> tuple[Mapping[str, object], ...]:
    """Return the state overrides parameter, where there is an overlay."""
    if not basis.overlay:
        return ()
    return ({placed.address: {"code": "0x" + placed.code.hex()} for placed in basis.overlay},)


def _result(answer: Json | ChainError) -> CallResult:
    if isinstance(answer, RpcRefused) and failed_in_evm(answer):
        return CallResult(success=False, data=answer.data)
    if isinstance(answer, ChainError):
        raise answer
    return CallResult(success=True, data=fields.data(answer, "the returned data"))
