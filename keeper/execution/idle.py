"""Null objects of observe mode and of runs without an executor."""

from collections.abc import Callable, Mapping, Sequence

from keeper.domain.account import AccountHealth
from keeper.domain.decision import Decision
from keeper.domain.head import Head
from keeper.domain.plan import Batch, News, Plan, SimulatedBatch, SimulatedPlan
from keeper.domain.units import Address, Gas, MarketKey, Wei
from keeper.ports import Given


class Forgetful:
    """Decision log of observe mode, which decides and stores nothing."""

    async def record(
        self,
        head: Head,
        decisions: Sequence[Decision],
        health: Mapping[tuple[MarketKey, Address], AccountHealth],
        given: Given | None = None,
    ) -> None:
        """Store nothing."""


class NobodySends:
    """Submitter of observe mode, with nothing ever in flight."""

    def in_flight(self) -> frozenset[tuple[MarketKey, Address]]:
        """Return nothing."""
        return frozenset()

    async def submit(
        self,
        batches: Sequence[Batch],
        head: Head,  # noqa: ARG002 (the port's)
        *,
        news: News | None = None,  # noqa: ARG002 (the port's)
    ) -> list[Batch]:
        """Accept nothing, since an observer has no plans."""
        return list(batches[:0])

    async def follow(
        self, head: Head, still_unhealthy: Callable[[MarketKey, Address], bool]
    ) -> None:
        """Do nothing."""


class Unsimulated:
    """Simulator without an executor, which returns the expected results."""

    def batch(self, plans: Sequence[Plan], *, net_profit: Wei, gas_limit: Gas) -> Batch:
        """Build a batch that cannot be sent."""
        return Batch(
            plans=tuple(plans),
            executor=Address(""),
            calldata=b"",
            gas_limit=gas_limit,
            deadline=plans[0].deadline,
            net_profit=net_profit,
        )

    async def simulated(
        self,
        batches: Sequence[Batch],
        head: Head,  # noqa: ARG002 (the port's)
    ) -> list[SimulatedBatch]:
        """Return each plan's expected result."""
        return [
            SimulatedBatch(
                plans=tuple(SimulatedPlan(profit=plan.gross_profit) for plan in batch.plans),
                gas_used=Gas(sum(plan.gas for plan in batch.plans)),
            )
            for batch in batches
        ]
