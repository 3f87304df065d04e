"""Simulated ports of the planner, with an executor that always succeeds and a fixed gas price."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.head import Head
from keeper.domain.plan import Batch, Plan, SimulatedBatch, SimulatedPlan
from keeper.domain.units import Address, BaseCurrency, Gas, Timestamp, Wei
from keeper.domain.value import Valuation
from keeper.pipeline import Planner
from keeper.ports import MarketSnapshot
from keeper.rehearse.prices import BLOCK_SECONDS
from keeper.rehearse.world import NATIVE, World
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Policy
from keeper.synthetic.blocks import made_address

DEADLINE_SECONDS: Final = 180


@dataclass(frozen=True, slots=True)
class WillingExecutor:
    """``Simulator`` in which every plan earns its expected profit."""

    address: Address

    def batch(self, plans: Sequence[Plan], *, net_profit: Wei, gas_limit: Gas) -> Batch:
        """Build one transaction of the plans."""
        return Batch(
            plans=tuple(plans),
            executor=self.address,
            calldata=b"",
            gas_limit=gas_limit,
            deadline=min(one.deadline for one in plans),
            net_profit=net_profit,
        )

    async def simulated(
        self,
        batches: Sequence[Batch],
        head: Head,  # noqa: ARG002 - the port's
    ) -> list[SimulatedBatch]:
        """Return success for every plan, at the expected gas."""
        return [
            SimulatedBatch(
                plans=tuple(SimulatedPlan(profit=one.gross_profit) for one in batch.plans),
                gas_used=Gas(sum(one.gas for one in batch.plans)),
            )
            for batch in batches
        ]


@dataclass(frozen=True, slots=True)
class OnePrice:
    """``FeeSource`` with a fixed gas price."""

    price: Wei

    def floor(self, head: Head) -> Wei:  # noqa: ARG002 - the port's
        """Return the price."""
        return self.price

    def unasked(self, head: Head) -> Wei:  # noqa: ARG002 - the port's
        """Return the price."""
        return self.price

    async def gas_price(self, head: Head) -> Wei:  # noqa: ARG002 - the port's
        """Return the price."""
        return self.price


@dataclass(frozen=True, slots=True)
class PathValuer:
    """``Valuer`` with the path's own native coin."""

    native: Address

    async def valuation(self, snapshot: MarketSnapshot) -> Valuation | None:
        """Return the snapshot's prices, which are in dollars."""
        prices = snapshot.prices
        return Valuation(
            prices=prices,
            base_unit=snapshot.base_unit,
            native_price=BaseCurrency(prices[self.native].price),
            usd_per_base=(1, 1),
        )


def planner_of(world: World, gas_price: Wei, policy: Policy) -> Planner:
    """Build the real planner over simulated ports."""
    market = world.book.snapshot.market
    return Planner(
        venues=[world.venue],
        simulators={market: WillingExecutor(made_address("executor", 0))},
        fees=OnePrice(gas_price),
        valuer=PathValuer(world.tokens[NATIVE]),
        policy=policy,
        gas_model=GasModel(),
        deadline_seconds=DEADLINE_SECONDS,
        next_timestamp=_fetch_next_timestamp,
    )


async def _fetch_next_timestamp(head: Head) -> Timestamp:
    return Timestamp(head.timestamp + BLOCK_SECONDS)
