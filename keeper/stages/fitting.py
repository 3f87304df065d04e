"""Cuts simulated transactions to the remaining gas of the next block."""

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.domain.plan import Plan
from keeper.domain.units import Gas
from keeper.strategy.gas import GasModel
from keeper.strategy.settled import sharing_less


@dataclass(slots=True, kw_only=True)
class BlockRoom:
    """Gas that transactions may still request in the next block.

    A block includes a transaction if its whole gas limit fits after the gas that earlier ones used.
    ``is_full`` is set by the first one that was cut. No transaction may follow it.
    """

    left: Gas
    is_full: bool = False

    def fit(
        self, plans: tuple[Plan, ...], used: Sequence[Gas], model: GasModel, data_gas: Gas
    ) -> tuple[Plan, ...]:
        """Return the first of a transaction's plans that fit into the block, and reserve their gas.

        ``used`` has each step's gas. If it is unknown the transaction stays whole. The fitting
        plans alone pay for the gas that all plans shared.
        """
        if self.is_full:
            return ()
        fitting = plans
        if all(used):
            fitting = self._select_fitting(plans, used, model, data_gas)
            self.is_full = len(fitting) < len(plans)
        self.left = Gas(self.left - sum(plan.gas for plan in fitting))
        return fitting

    def _select_fitting(
        self, plans: tuple[Plan, ...], used: Sequence[Gas], model: GasModel, data_gas: Gas
    ) -> tuple[Plan, ...]:
        for count in range(len(plans), 0, -1):
            limit = model.simulated_limit(plans[:count], used[:count]) + data_gas
            if limit > self.left:
                continue
            kept = sharing_less(plans[:count], len(plans), model.transaction)
            if len(kept) == count:
                return kept
        return ()
