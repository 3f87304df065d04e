"""Batches in halves, for nodes that take no transaction of their size."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from keeper.domain.plan import Batch, Plan
from keeper.domain.units import Address, Gas, mul_div_ceil
from keeper.ports import Simulator
from keeper.strategy.batches import batch_net_profit
from keeper.strategy.gas import GasModel

_BEFORE_REFUNDS: Final = (5, 4)
"""Refunds are a fifth of the gas at most (EIP-3529), and are needed until the end."""


def batch_splitter(
    simulators: Mapping[Address, Simulator], gas_model: GasModel
) -> Callable[[Batch], Sequence[Batch]]:
    """
    Return what divides a batch into two transactions of consecutive plans.

    They do in sequence what the batch does, so what was simulated stands. A batch of one plan,
    or of a contract that is no executor, is not divided.
    """

    def split(batch: Batch) -> Sequence[Batch]:
        simulator = simulators.get(batch.executor)
        if simulator is None or len(batch.plans) == 1:
            return ()
        beside = max(0, batch.gas_limit - _steps_gas(gas_model, batch.plans))  # a rollup's data
        middle = (len(batch.plans) + 1) // 2
        return [
            simulator.batch(
                plans,
                net_profit=batch_net_profit(plans),
                gas_limit=Gas(_steps_gas(gas_model, plans) + beside),
            )
            for plans in (batch.plans[:middle], batch.plans[middle:])
        ]

    return split


def _steps_gas(gas_model: GasModel, plans: Sequence[Plan]) -> Gas:
    used = [Gas(mul_div_ceil(plan.gas, *_BEFORE_REFUNDS)) for plan in plans]
    return gas_model.simulated_limit(plans, used)
