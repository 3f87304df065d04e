"""Simulation of all pending transactions in nonce order."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from keeper.chain.fields import quantity
from keeper.domain.errors import ChainError, RpcRefused
from keeper.domain.head import Head
from keeper.domain.plan import Batch, SimulatedBatch, SimulatedPlan
from keeper.domain.submission import Submission
from keeper.domain.units import Address, Gas, TokenUnits
from keeper.execution.landing_run import Answer, LandingRun, describe_failure
from keeper.execution.pending import pending_calls
from keeper.execution.simulator import is_starved_batch, simulated_batch

log = logging.getLogger(__name__)

SIMULATED_GAS: Final = Gas(45_000_000)
"""Gas of a whole simulation that all nodes grant. Beyond it, the last call may lack gas."""


class RunsBatches(Protocol):
    """Simulates transactions of one contract without sending them."""

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Run the batches one after the other on top of ``head`` and return what they did."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRun:
    """Simulates pending nonces of every executor and of the vault in one sequence.

    Each runs with its own calldata, gas limit and fees, after the lower nonces. If the node
    simulates no sequence, ``alone`` simulates each contract's own, by its address.
    """

    landing: LandingRun
    alone: Mapping[Address, RunsBatches]
    vault: Address | None = None

    async def __call__(
        self, bound: Sequence[Submission], head: Head
    ) -> Mapping[int, SimulatedBatch]:
        """Simulate the newest attempt of each nonce with plans, by nonce.

        Raises:
            ChainError: the node did not simulate.
        """
        try:
            return await self._simulate_sequence(bound, head)
        except ChainError as error:
            log.info("simulation_alone block=%d reason=%s", head.number, error)
        return await self._simulate_alone(bound, head)

    async def _simulate_sequence(
        self, bound: Sequence[Submission], head: Head
    ) -> Mapping[int, SimulatedBatch]:
        gas = Gas(sum(submission.newest.gas_limit for submission in bound))
        deadlines = [one.batch.deadline - head.timestamp for one in bound if one.batch is not None]
        answers = await self.landing.simulate(
            pending_calls(bound, self.landing.sender, head),
            head,
            gas=gas,
            seconds_left=min(deadlines, default=None),
        )
        found = {
            submission.nonce: self._decode_answer(answer, submission.batch)
            for submission, answer in zip(bound, answers, strict=True)
            if submission.batch is not None
        }
        if any(map(is_starved_batch, found.values())) or (
            gas > SIMULATED_GAS and any(batch.failure for batch in found.values())
        ):
            raise RpcRefused("the node ran transactions with less gas than they have")
        return found

    def _decode_answer(self, answer: Answer, batch: Batch) -> SimulatedBatch:
        if batch.executor != self.vault:
            return simulated_batch(answer, batch)
        gas = Gas(quantity(answer.get("gasUsed"), "the simulated gas"))
        if quantity(answer.get("status"), "the simulated status") != 1:
            return SimulatedBatch(plans=(), gas_used=gas, failure=describe_failure(answer))
        done = SimulatedPlan(profit=TokenUnits(0))
        return SimulatedBatch(plans=tuple(done for _ in batch.plans), gas_used=gas)

    async def _simulate_alone(
        self, bound: Sequence[Submission], head: Head
    ) -> Mapping[int, SimulatedBatch]:
        pairs = [(one.nonce, one.batch) for one in bound if one.batch is not None]
        runs = (self.alone[batch.executor].simulated([batch], head) for _, batch in pairs)
        answers = await asyncio.gather(*runs)
        return {nonce: answer for (nonce, _), (answer,) in zip(pairs, answers, strict=True)}
