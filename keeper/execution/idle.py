"""What stands where nothing is signed: an observer's submitter and record, no simulation."""

from collections.abc import Callable, Mapping, Sequence

from keeper.domain.account import AccountHealth
from keeper.domain.decision import Decision
from keeper.domain.head import Head
from keeper.domain.plan import Batch, News, Plan, SimulatedBatch, SimulatedPlan
from keeper.domain.units import Address, Gas, MarketKey, Wei
from keeper.ports import Given


class Forgetful:
    """Observing keeps no record: nothing is decided."""

    async def record(
        self,
        head: Head,
        decisions: Sequence[Decision],
        health: Mapping[tuple[MarketKey, Address], AccountHealth],
        given: Given | None = None,
    ) -> None:
        """Forget it."""


class NobodySends:
    """The submitter of a node that only observes: nothing is ever in flight."""

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
        """Take nothing: an observer has no plans."""
        return list(batches[:0])

    async def follow(
        self, head: Head, still_unhealthy: Callable[[MarketKey, Address], bool]
    ) -> None:
        """Do nothing."""


class Unsimulated:
    """Where no executor is configured, plans are explained without a simulation."""

    def batch(self, plans: Sequence[Plan], *, net_profit: Wei, gas_limit: Gas) -> Batch:
        """Return a batch that could not be sent."""
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
        """Take every plan at its word."""
        return [
            SimulatedBatch(
                plans=tuple(SimulatedPlan(profit=plan.gross_profit) for plan in batch.plans),
                gas_used=Gas(sum(plan.gas for plan in batch.plans)),
            )
            for batch in batches
        ]
