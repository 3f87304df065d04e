"""Simulates transactions on a pinned block with ``eth_simulateV1`` or ``eth_estimateGas``."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from keeper.chain import fields
from keeper.chain.call_gas import CallGas, Run
from keeper.chain.capabilities import Capability
from keeper.chain.fields import Json
from keeper.chain.oversized import blame
from keeper.chain.pinned import overrides
from keeper.chain.pinning import BlockParameter, Pinning
from keeper.chain.refusal import failed_in_evm, refusal_kind
from keeper.chain.refusal_kinds import RefusalKind
from keeper.chain.rpc import Rpc
from keeper.domain.errors import (
    ChainError,
    RpcMalformed,
    RpcRefused,
    RpcTooLarge,
    RpcUnavailable,
)
from keeper.domain.head import Basis
from keeper.domain.units import Gas

log = logging.getLogger(__name__)

SIMULATION_SECONDS: Final = 3.0
"""How long one endpoint may take for a simulation before the transactions are run alone."""
ESTIMATE_SECONDS: Final = 2.0
UNKNOWN_BLOCKS: Final = 3
"""So many blocks in a row unknown to the method alone: some nodes refuse it in these words."""
OWN_ERRORS: Final = range(-38_099, -37_999)
"""``eth_simulateV1``'s own error codes: they are about the question, so the method exists."""

_OF_THE_QUESTION: Final = frozenset(
    {
        RefusalKind.TOO_LARGE,
        RefusalKind.CALL_GAS_CAP,
        RefusalKind.REVERTED,
        RefusalKind.PRUNED,
        RefusalKind.NOT_CANONICAL,
    }
)
_QUESTION: Final = ("gas required", "allowance", "insufficient funds", "intrinsic gas", "nonce")


class Simulations:
    """Simulation at any endpoint that supports it.

    An endpoint that refuses the method, or answers differently, is skipped for a while.
    """

    def __init__(self, rpc: Rpc, pinning: Pinning) -> None:
        self._rpc = rpc
        self._pinning = pinning
        self._call_gas = CallGas(rpc)
        self._unknown_blocks: Counter[int] = Counter()

    async def simulate(
        self, payload: Mapping[str, object], basis: Basis
    ) -> list[Mapping[str, Json]]:
        """Simulate at the first endpoint that has the method.

        Raises:
            ChainError: none has it, or none answered in time.
        """
        failure: ChainError = RpcRefused("no endpoint has eth_simulateV1", number=-32_601)
        too_large = dict[int, RpcTooLarge]()
        for place in self._rpc.pool.alive() or [self._rpc.pool.best()]:
            if not self._rpc.capabilities.has(place, Capability.SIMULATION):
                continue
            try:
                blocks = await self._simulate_at(place, payload, basis)
            except RpcTooLarge as error:
                failure = too_large[place] = error
            except ChainError as error:
                failure = error
            else:
                for wordy, oversized in too_large.items():
                    blame(self._rpc, wordy, oversized)
                return blocks
        raise failure

    async def estimate(self, transaction: Mapping[str, object], basis: Basis) -> Gas:
        """Estimate a transaction's gas, at the newest block if a pinned one is refused.

        Raises:
            RpcRefused: it reverts, or the endpoint cannot estimate.
        """
        capabilities = self._rpc.capabilities

        async def ask(place: int) -> Gas:
            if not capabilities.has(place, Capability.ESTIMATE):
                raise RpcRefused("the endpoint has no eth_estimateGas", number=-32_601)
            try:
                gas = await self._estimate_with_fallback(place, transaction, basis)
            except RpcRefused as error:
                if _is_missing_method(error):
                    capabilities.learn_lack(place, Capability.ESTIMATE, str(error))
                raise
            capabilities.learn_success(place, Capability.ESTIMATE)
            return gas

        try:
            async with asyncio.timeout(ESTIMATE_SECONDS):
                return await self._rpc.read_with(ask, block=basis.block_hash)
        except TimeoutError:
            raise RpcUnavailable("the node estimated nothing in time") from None

    async def _simulate_at(
        self, place: int, payload: Mapping[str, object], basis: Basis
    ) -> list[Mapping[str, Json]]:
        capabilities = self._rpc.capabilities

        async def ask(block: BlockParameter) -> Json:
            try:
                return await self._rpc.ask(place, "eth_simulateV1", payload, block)
            except RpcTooLarge as error:  # compared with what the next endpoint simulates
                raise RpcTooLarge(str(error), excessive=error.excessive) from None

        try:
            async with asyncio.timeout(SIMULATION_SECONDS):
                answer = await self._rpc.await_block(
                    place,
                    lambda endpoint: self._pinning.at_endpoint(endpoint, basis.block_hash, ask),
                    None,  # not for long: alone the transactions can be run at once
                )
            blocks = _check_simulated_blocks(answer, payload)
        except TimeoutError:
            failure = f"no answer within {SIMULATION_SECONDS:g} s"
            capabilities.learn_lack(place, Capability.SIMULATION, failure)
            raise RpcUnavailable(f"eth_simulateV1: {failure}") from None
        except RpcUnavailable:
            raise
        except (RpcRefused, RpcMalformed) as error:
            if _is_missing_method(error):
                capabilities.learn_lack(place, Capability.SIMULATION, str(error))
            raise
        except ChainError as error:
            self._unknown_blocks[place] += 1
            if self._unknown_blocks[place] >= UNKNOWN_BLOCKS:
                capabilities.learn_lack(place, Capability.SIMULATION, str(error))
            raise
        self._unknown_blocks[place] = 0
        capabilities.learn_success(place, Capability.SIMULATION)
        return blocks

    async def _estimate_with_fallback(
        self, place: int, transaction: Mapping[str, object], basis: Basis
    ) -> Gas:
        """Estimate at the block, or at the newest one if that is refused."""
        capabilities, refused = self._rpc.capabilities, ""
        if basis.overlay or capabilities.has(place, Capability.ESTIMATE_AT_BLOCK):
            try:
                return await self._estimate_at_block(place, transaction, basis)
            except RpcRefused as error:
                if basis.overlay or failed_in_evm(error):
                    raise
                refused = str(error)
        gas = _parse_gas(await self._call_gas.ask(place, ("eth_estimateGas", transaction, ())))
        if refused:
            capabilities.learn_lack(place, Capability.ESTIMATE_AT_BLOCK, refused)
        return gas

    async def _estimate_at_block(
        self, place: int, transaction: Mapping[str, object], basis: Basis
    ) -> Gas:
        async def ask(block: BlockParameter) -> Json:
            run: Run = ("eth_estimateGas", transaction, (block, *overrides(basis)))
            return await self._call_gas.ask(place, run)

        gas = _parse_gas(await self._pinning.at_endpoint(place, basis.block_hash, ask))
        self._rpc.capabilities.learn_success(place, Capability.ESTIMATE_AT_BLOCK)
        return gas


def _is_missing_method(error: RpcRefused | RpcMalformed) -> bool:
    """Return whether a failure means that the method is missing, and not a wrong request."""
    if isinstance(error, RpcRefused):
        said = error.text.lower()
        about_question = error.number in OWN_ERRORS or any(sign in said for sign in _QUESTION)
        return not (about_question or refusal_kind(error) in _OF_THE_QUESTION)
    return not isinstance(error, RpcTooLarge)


def _parse_gas(answer: Json) -> Gas:
    return Gas(fields.quantity(answer, "the gas", most=fields.UINT64_MAX))


def _check_simulated_blocks(
    answer: Json, payload: Mapping[str, object]
) -> list[Mapping[str, Json]]:
    """Return the node's blocks after checking that each call has an answer."""
    asked = payload.get("blockStateCalls")
    blocks = [
        fields.document(block, "a simulated block")
        for block in fields.sequence(answer, "the simulated blocks")
    ]
    wanted = asked if isinstance(asked, Sequence) else ()
    if len(blocks) != len(wanted):
        raise RpcMalformed("the node simulated another number of blocks than it was given")
    for block, given in zip(blocks, wanted, strict=True):
        calls = fields.sequence(block.get("calls"), "the simulated calls")
        if len(calls) != len(given.get("calls", ())):
            raise RpcMalformed("the node simulated another number of calls than it was given")
        for call in calls:
            _refuse_incomplete(fields.document(call, "a simulated call"))
    return blocks


def _refuse_incomplete(call: Mapping[str, Json]) -> None:
    """Raise RpcMalformed if a call's answer lacks a required field."""
    worked = fields.quantity(call.get("status"), "the simulated status", most=1)
    fields.quantity(call.get("gasUsed"), "the simulated gas", most=fields.UINT64_MAX)
    if worked:
        fields.data(call.get("returnData"), "the simulated result")
