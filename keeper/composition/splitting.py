"""Batches in halves, for nodes that take no transaction of their size."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from keeper.domain.plan import Batch, Plan
from keeper.domain.units import Address, Gas, mul_div_ceil
from keeper.ports import Simulator
from keeper.strategy.batches import batch_net_profit
from keeper.strategy.gas import GasModel
from keeper.strategy.settled import sharing_less

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
    cut = batch_cutter(simulators, gas_model)
    return lambda batch: cut(batch, (len(batch.plans) + 1) // 2)


def batch_cutter(
    simulators: Mapping[Address, Simulator], gas_model: GasModel
) -> Callable[[Batch, int], Sequence[Batch]]:
    """
    Return what divides a batch into two transactions after so many plans.

    What all of them shared, each part pays alone: its plans' gas and the minimums that the
    executor enforces are raised by that. A plan that does not pay it is left out.
    """

    def cut(batch: Batch, count: int) -> Sequence[Batch]:
        simulator = simulators.get(batch.executor)
        if simulator is None or not 0 < count < len(batch.plans):
            return ()
        beside = max(0, batch.gas_limit - _steps_gas(gas_model, batch.plans))  # a rollup's data
        whole = len(batch.plans)
        shares = (batch.plans[:count], batch.plans[count:])
        parts = [sharing_less(plans, whole, gas_model.transaction) for plans in shares]
        if not parts[0]:
            return ()
        return [
            simulator.batch(
                plans,
                net_profit=batch_net_profit(plans),
                gas_limit=Gas(_steps_gas(gas_model, plans) + beside),
            )
            for plans in parts
            if plans
        ]

    return cut


def _steps_gas(gas_model: GasModel, plans: Sequence[Plan]) -> Gas:
    used = [Gas(mul_div_ceil(plan.gas, *_BEFORE_REFUNDS)) for plan in plans]
    return gas_model.simulated_limit(plans, used)
