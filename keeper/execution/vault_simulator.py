"""Simulates cures and clearings on a pinned block."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.chain.fields import data as data_of
from keeper.chain.fields import quantity
from keeper.domain.errors import ChainError, RpcRefused
from keeper.domain.head import Basis, Head
from keeper.domain.plan import Batch, SimulatedBatch, SimulatedPlan
from keeper.domain.reads import Call
from keeper.domain.submission import Submission
from keeper.domain.units import Address, Gas, TokenUnits, Wei, mul_div_ceil
from keeper.execution import vault as language
from keeper.execution.alone import BEFORE_REFUNDS, estimate_gas, run_alone
from keeper.execution.landing import fee_fields, landing_basis, tip_within
from keeper.execution.landing_run import LandingRun, describe_failure
from keeper.execution.pending import pending_calls
from keeper.execution.simulator import SimulatingChain

log = logging.getLogger(__name__)

_NO_TIP: Final = Wei(0)
SIMULATED_GAS: Final = Gas(45_000_000)
"""Gas of a whole simulation that nodes surely give: with more, the last call may lack some."""
TRIAL_GAS: Final = Gas(3_000_000)
"""Gas limit of a cure's or clearing's first simulation."""
MOST_GAS: Final = Gas(1_000_000)
"""Sufficient gas of a cure or a clearing, for nodes without a gas estimate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Result of a simulated clearing with spent amount, loss in the base currency, and gas."""

    spent: TokenUnits
    loss: int
    gas: Gas


@dataclass(slots=True, kw_only=True)
class VaultSimulator:
    """Simulator of one vault's cures and clearings, sent by ``operator``."""

    chain: SimulatingChain
    vault: Address
    operator: Address
    block_seconds: int = 1
    waiting: Callable[[], Sequence[Submission]] = tuple
    _landing: LandingRun = field(init=False)

    def __post_init__(self) -> None:
        self._landing = LandingRun(
            chain=self.chain, sender=self.operator, block_seconds=self.block_seconds
        )

    async def tried(self, data: bytes, head: Head, *, tip: Wei = _NO_TIP) -> Gas | str:
        """Return the gas that a cure needs at a block, or why it would revert.

        Raises:
            ChainError: the node did not run it.
        """
        found = await self._run(data, head, TRIAL_GAS, tip, self.waiting())
        return found if isinstance(found, str) else found[1]

    async def cleared(self, data: bytes, head: Head, *, tip: Wei = _NO_TIP) -> Trial | str:
        """Return a clearing's result at a block, or why it would revert.

        Raises:
            ChainError: the node did not run it.
        """
        found = await self._run(data, head, TRIAL_GAS, tip, self.waiting())
        if isinstance(found, str):
            return found
        spent, loss = language.cleared_of(found[0])
        return Trial(spent=spent, loss=loss, gas=found[1])

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Simulate each cure alone. ChainError if none can be run.

        Raises:
            ChainError: the node did not run one.
        """
        return [await self._simulate_batch(batch, head) for batch in batches]

    async def _simulate_batch(self, batch: Batch, head: Head) -> SimulatedBatch:
        own = {(plan.market, plan.account) for plan in batch.plans}
        before = [bound for bound in self.waiting() if not own.intersection(bound.accounts)]
        tip = tip_within(max(plan.gas_price for plan in batch.plans), head)
        return simulated_vault(await self._run(batch.calldata, head, batch.gas_limit, tip, before))

    async def _run(
        self, data: bytes, head: Head, limit: Gas, tip: Wei, waiting: Sequence[Submission]
    ) -> tuple[bytes, Gas] | str:
        """Return the call's result and the gas that it needs, or why it would revert."""
        transaction = {
            **fee_fields(tip, head),
            "from": self.operator,
            "to": self.vault,
            "gas": hex(limit),
            "input": "0x" + data.hex(),
        }
        try:
            return await self._simulate_after_pending(waiting, transaction, limit, head)
        except ChainError as error:
            log.info("simulation_alone block=%d reason=%s", head.number, error)
        call = Call(target=self.vault, data=data)
        basis = landing_basis(head, seconds=self._landing.seconds_to(), gas_limit=limit)
        del transaction["gas"]
        found = await run_alone(self.chain, transaction, call, self.operator, basis)
        if isinstance(found, str):
            return found
        return found.returned, MOST_GAS if found.gas is None else found.gas

    async def _simulate_after_pending(
        self,
        waiting: Sequence[Submission],
        transaction: Mapping[str, object],
        limit: Gas,
        head: Head,
    ) -> tuple[bytes, Gas] | str:
        """Simulate a transaction after the pending ones, in the block expected to include it."""
        calls = [*pending_calls(waiting, self.operator, head), transaction]
        gas = Gas(limit + sum(bound.newest.gas_limit for bound in waiting))
        *_, answer = await self._landing.simulate(calls, head, gas=gas)
        if quantity(answer.get("status"), "the simulated status") != 1:
            if gas > SIMULATED_GAS:
                raise RpcRefused("the node may have run it with less gas than it has")
            return describe_failure(answer)
        used = quantity(answer.get("gasUsed"), "the simulated gas")
        needed = Gas(mul_div_ceil(used, *BEFORE_REFUNDS))
        estimated = await estimate_gas(self.chain, transaction, Basis(block_hash=head.hash))
        returned = data_of(answer.get("returnData"), "the simulated result")
        return returned, needed if estimated is None else Gas(max(estimated, used))


def simulated_vault(found: tuple[bytes, Gas] | str) -> SimulatedBatch:
    """Return a run of the vault as the result of a transaction with one plan."""
    if isinstance(found, str):
        return SimulatedBatch(plans=(), gas_used=Gas(0), failure=found)
    done = SimulatedPlan(profit=TokenUnits(0))
    return SimulatedBatch(plans=(done,), gas_used=found[1])
