"""Runs cures on a pinned block without sending them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.head import Basis, Head
from keeper.domain.plan import Batch, SimulatedBatch, SimulatedPlan
from keeper.domain.reads import Call
from keeper.domain.units import Address, Gas, TokenUnits
from keeper.execution import vault as language
from keeper.execution.alone import run_alone, simulated_gas
from keeper.execution.simulator import SimulatingChain

MOST_GAS: Final = Gas(1_000_000)
"""Gas that a cure or a clearing surely does with, for nodes that say nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a clearing did when it was run: what it spent, its loss in the base currency, gas."""

    spent: TokenUnits
    loss: int
    gas: Gas


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSimulator:
    """One vault's cures and clearings; ``operator`` is who would send them."""

    chain: SimulatingChain
    vault: Address
    operator: Address

    async def tried(self, data: bytes, head: Head) -> Gas | str:
        """
        Return the gas that a cure needs at a block, or why it would revert.

        Raises:
            ChainError: the node did not run it.
        """
        found = await self._run(data, head)
        return found if isinstance(found, str) else found[1]

    async def cleared(self, data: bytes, head: Head) -> Trial | str:
        """
        Return what a clearing does at a block, or why it would revert.

        Raises:
            ChainError: the node did not run it.
        """
        found = await self._run(data, head)
        if isinstance(found, str):
            return found
        spent, loss = language.cleared_of(found[0])
        return Trial(spent=spent, loss=loss, gas=found[1])

    async def _run(self, data: bytes, head: Head) -> tuple[bytes, Gas] | str:
        basis = Basis(block_hash=head.hash)
        transaction = {"from": self.operator, "to": self.vault, "input": "0x" + data.hex()}
        call = Call(target=self.vault, data=data)
        found = await run_alone(self.chain, transaction, call, self.operator, basis)
        if isinstance(found, str):
            return found
        gas = found.gas
        if gas is None:
            gas = await simulated_gas(self.chain, transaction, basis)
        return found.returned, MOST_GAS if gas is None else gas

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Return what each cure would do now, each alone; ChainError where none can be run."""
        return [_simulated(await self.tried(one.calldata, head)) for one in batches]


def _simulated(found: Gas | str) -> SimulatedBatch:
    if isinstance(found, str):
        return SimulatedBatch(plans=(), gas_used=Gas(0), failure=found)
    done = SimulatedPlan(profit=TokenUnits(0))
    return SimulatedBatch(plans=(done,), gas_used=found)
