"""Simulates the exact transactions to be sent, one after the other, on the pinned block."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from keeper.chain.fields import Json, data, quantity
from keeper.domain.errors import ChainError, RpcMalformed, RpcRefused
from keeper.domain.head import Basis, Head
from keeper.domain.plan import Batch, Plan, SimulatedBatch, SimulatedPlan
from keeper.domain.reads import Call
from keeper.domain.submission import Submission
from keeper.domain.units import Address, Gas, Timestamp, Wei
from keeper.execution.alone import run_alone
from keeper.execution.executor import decode_results, liquidate_calldata
from keeper.execution.landing import landing_basis, landing_fees
from keeper.execution.landing_run import Answer, LandingRun, describe_failure
from keeper.execution.pending import pending_calls

log = logging.getLogger(__name__)

_STARVED: Final = "NotEnoughGas("


class SimulatingChain(Protocol):
    """Reads of a simulation. Each may raise ``ChainError``."""

    async def simulate_v1(
        self, payload: Mapping[str, object], basis: Basis
    ) -> list[Mapping[str, Json]]:
        """Run blocks of calls on top of the pinned block."""
        ...

    async def call(
        self,
        call: Call,
        basis: Basis,
        *,
        sender: Address | None = None,
        fees: Mapping[str, object] | None = None,
    ) -> bytes:
        """Read one call with these fee fields. A revert raises ``RpcRefused`` with its data."""
        ...

    async def estimate_gas(self, transaction: Mapping[str, object], basis: Basis) -> Gas:
        """Return the gas that a transaction needs."""
        ...


class ExecutorSimulator:
    """Builds and simulates one executor's transactions.

    ``operator`` is their sender, ``step_gas`` returns the gas limit of a plan's step. ``waiting``
    lists the operator's pending transactions by nonce, which are simulated first.
    """

    def __init__(
        self,
        chain: SimulatingChain,
        *,
        executor: Address,
        operator: Address,
        step_gas: Callable[[Plan], Gas],
        builder_share_bps: int = 0,
        block_seconds: int = 1,
        waiting: Callable[[], Sequence[Submission]] = tuple,
    ) -> None:
        self._chain = chain
        self._executor = executor
        self._operator = operator
        self._step_gas = step_gas
        self._builder_share_bps = builder_share_bps
        self._landing = LandingRun(chain=chain, sender=operator, block_seconds=block_seconds)
        self._waiting = waiting

    def batch(self, plans: Sequence[Plan], *, net_profit: Wei, gas_limit: Gas) -> Batch:
        """Build the executor's transaction for these plans. It expires with the first of them."""
        deadline = min(plan.deadline for plan in plans)
        return Batch(
            plans=tuple(plans),
            executor=self._executor,
            calldata=liquidate_calldata(
                plans,
                [self._step_gas(plan) for plan in plans],
                deadline,
                self._builder_share_bps,
            ),
            gas_limit=gas_limit,
            deadline=Timestamp(deadline),
            net_profit=net_profit,
        )

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Simulate the batches in one block on top of ``head``, after the pending transactions.

        A pending transaction about the same accounts is not simulated besides, as it is among the
        batches already. If no endpoint supports sequences, each batch is simulated alone on the
        pinned block. Its pools are then unaffected by other batches, so a plan is capped at its
        expected profit.

        Raises:
            RpcUnavailable: the node did not answer.
            SnapshotReorged: the block is no longer canonical.
        """
        if not batches:
            return []
        try:
            return await self._simulate_sequence(batches, head)
        except ChainError as error:
            log.info("simulation_alone block=%d reason=%s", head.number, error)
        return list(await asyncio.gather(*(self._simulate_alone(batch, head) for batch in batches)))

    async def _simulate_sequence(
        self, batches: Sequence[Batch], head: Head
    ) -> list[SimulatedBatch]:
        own = {(plan.market, plan.account) for batch in batches for plan in batch.plans}
        before = [bound for bound in self._waiting() if not own.intersection(bound.accounts)]
        limits = [one.newest.gas_limit for one in before] + [one.gas_limit for one in batches]
        limit = Gas(sum(limits))
        calls = [
            *pending_calls(before, self._operator, head),
            *(self._build_transaction(batch, head) for batch in batches),
        ]
        left = min(batch.deadline for batch in batches) - head.timestamp
        answers = await self._landing.simulate(calls, head, gas=limit, seconds_left=left)
        found = [
            simulated_batch(answer, batch)
            for batch, answer in zip(batches, answers[len(before) :], strict=True)
        ]
        # Nodes bound the gas of a whole simulation, and the last calls run with the remainder.
        if any(map(is_starved_batch, found)):
            raise RpcRefused("the node ran transactions with less gas than they have")
        return found

    async def _simulate_alone(self, batch: Batch, head: Head) -> SimulatedBatch:
        """Simulate a batch alone, and plans that ran out of gas in further simulations.

        A node may run calls with less gas than the batch's limit, which suffices for all plans.
        """
        result = await self._run_batch_alone(batch, head)
        starved = [place for place, plan in enumerate(result.plans) if is_starved(plan)]
        if not starved or len(starved) == len(result.plans):
            return result
        plans = [batch.plans[place] for place in starved]
        rest = self.batch(plans, net_profit=batch.net_profit, gas_limit=batch.gas_limit)
        again = await self._simulate_alone(rest, head)
        merged = list(result.plans)
        for place, plan in zip(starved, again.plans, strict=False):  # none where the run failed
            merged[place] = plan
        return replace(result, plans=tuple(merged))

    async def _run_batch_alone(self, batch: Batch, head: Head) -> SimulatedBatch:
        call = Call(target=batch.executor, data=batch.calldata)
        transaction = self._build_transaction(batch, head)
        seconds = self._landing.seconds_to(batch.deadline - head.timestamp)
        basis = landing_basis(head, seconds=seconds, gas_limit=batch.gas_limit)
        found = await run_alone(self._chain, transaction, call, self._operator, basis)
        if isinstance(found, str):
            return SimulatedBatch(plans=(), gas_used=Gas(0), failure=found)
        # The least gas that does not fail as a whole lets later plans starve: take their limits.
        expected = sum(max(plan.gas, plan.step_gas) for plan in batch.plans)
        try:
            worked = _decode_success(found.returned, Gas(max(found.gas or 0, expected)), batch)
        except RpcMalformed as error:
            return SimulatedBatch(plans=(), gas_used=Gas(0), failure=str(error))
        pairs = zip(worked.plans, batch.plans, strict=True)
        return replace(worked, plans=tuple(cap_at_size(*pair) for pair in pairs))

    def _build_transaction(self, batch: Batch, head: Head) -> dict[str, object]:
        return {
            **landing_fees(batch, head),
            "from": self._operator,
            "to": batch.executor,
            "gas": hex(batch.gas_limit),
            "input": "0x" + batch.calldata.hex(),
        }


def is_starved_batch(batch: SimulatedBatch) -> bool:
    """Return whether a transaction, or one of its plans, lacked gas."""
    return _STARVED in batch.failure or any(map(is_starved, batch.plans))


def is_starved(plan: SimulatedPlan) -> bool:
    """Return whether a plan was not started for lack of remaining gas."""
    return plan.failure.startswith(_STARVED)


def cap_at_size(outcome: SimulatedPlan, plan: Plan) -> SimulatedPlan:
    """Cap the profit of a plan simulated alone at its expected profit."""
    return replace(outcome, profit=min(outcome.profit, plan.gross_profit))


def simulated_batch(answer: Answer, batch: Batch) -> SimulatedBatch:
    """Decode the result of a simulated executor transaction. RpcMalformed if it is invalid."""
    gas = Gas(quantity(answer.get("gasUsed"), "the simulated gas"))
    if quantity(answer.get("status"), "the simulated status") == 1:
        return _decode_success(data(answer.get("returnData"), "the simulated result"), gas, batch)
    return SimulatedBatch(plans=(), gas_used=gas, failure=describe_failure(answer))


def _decode_success(returned: bytes, gas: Gas, batch: Batch) -> SimulatedBatch:
    plans = decode_results(returned)
    if len(plans) != len(batch.plans):
        raise RpcMalformed("the executor reported another number of plans than it was given")
    return SimulatedBatch(plans=plans, gas_used=gas)
