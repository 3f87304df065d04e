"""Simulator of a dry run, which caps results by the run's own earlier sales."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from keeper.domain.head import Head
from keeper.domain.plan import Batch, Plan, SimulatedBatch
from keeper.domain.units import Gas, Wei
from keeper.execution.simulator import cap_at_size
from keeper.ports import Simulator


@dataclass(frozen=True, slots=True)
class PaperSimulator:
    """Simulator that caps each plan at its expected profit while earlier paper sales count.

    ``has_sold_before`` returns whether a sale of an earlier block still counts. If none does, the
    node's result is used.
    """

    simulator: Simulator
    has_sold_before: Callable[[Head], bool]

    def batch(self, plans: Sequence[Plan], *, net_profit: Wei, gas_limit: Gas) -> Batch:
        """Return the executor's transaction for these plans."""
        return self.simulator.batch(plans, net_profit=net_profit, gas_limit=gas_limit)

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Simulate the batches, capping each plan at its expected profit."""
        answers = await self.simulator.simulated(batches, head)
        if not self.has_sold_before(head):
            return answers
        return [_cap_answer(*pair) for pair in zip(batches, answers, strict=True)]


def _cap_answer(batch: Batch, answer: SimulatedBatch) -> SimulatedBatch:
    if not answer.plans:
        return answer
    pairs = zip(answer.plans, batch.plans, strict=True)
    return replace(answer, plans=tuple(cap_at_size(*pair) for pair in pairs))
