"""Splits batches in halves, for nodes that refuse transactions of their size."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from keeper.domain.plan import Batch, Plan
from keeper.domain.units import Address, Gas, mul_div_ceil
from keeper.execution.reserving import Subset
from keeper.ports import Simulator
from keeper.strategy.batches import batch_net_profit
from keeper.strategy.gas import GasModel
from keeper.strategy.rounds import drop_unled
from keeper.strategy.settled import sharing_less

_BEFORE_REFUNDS: Final = (5, 4)
"""Refunds are a fifth of the gas at most (EIP-3529), and are needed until the end."""


def batch_splitter(
    simulators: Mapping[Address, Simulator], gas_model: GasModel
) -> Callable[[Batch], Sequence[Batch]]:
    """Build the function that splits a batch into two transactions of consecutive plans.

    In sequence they do the same as the batch, so its simulation remains valid. A batch of one plan,
    or of a contract that is no executor, is not split.
    """
    subset = batch_subset(simulators, gas_model)

    def split(batch: Batch) -> Sequence[Batch]:
        middle = (len(batch.plans) + 1) // 2
        halves = (batch.plans[:middle], batch.plans[middle:])
        parts = [subset(batch, half) for half in halves] if len(batch.plans) > 1 else []
        return [part for part in parts if part is not None]

    return split


def batch_subset(simulators: Mapping[Address, Simulator], gas_model: GasModel) -> Subset:
    """Build the function that builds a transaction of some of a batch's plans, in order.

    The part alone pays for the gas that all plans shared. Its plans' gas and the minimums that the
    executor enforces are raised accordingly. A plan that cannot pay is dropped.
    """

    def subset(batch: Batch, plans: Sequence[Plan]) -> Batch | None:
        simulator = simulators.get(batch.executor)
        kept = sharing_less(drop_unled(batch.plans, plans), len(batch.plans), gas_model.transaction)
        if simulator is None or not kept:
            return None
        beside = max(
            0, batch.gas_limit - _compute_gas_limit(gas_model, batch.plans)
        )  # a rollup's data
        return simulator.batch(
            kept,
            net_profit=batch_net_profit(kept),
            gas_limit=Gas(_compute_gas_limit(gas_model, kept) + beside),
        )

    return subset


def _compute_gas_limit(gas_model: GasModel, plans: Sequence[Plan]) -> Gas:
    used = [Gas(mul_div_ceil(plan.gas, *_BEFORE_REFUNDS)) for plan in plans]
    return gas_model.simulated_limit(plans, used)
