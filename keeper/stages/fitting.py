"""Transactions cut to what the next block still takes, once their gas is simulated."""

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.domain.plan import Plan
from keeper.domain.units import Gas
from keeper.strategy.gas import GasModel
from keeper.strategy.settled import sharing_less


@dataclass(slots=True, kw_only=True)
class BlockRoom:
    """
    The gas that transactions may still ask for in the next block.

    A block takes a transaction whose whole limit fits behind the gas that those before it used.
    ``is_full`` is set by the first one that did not fit whole: nothing may follow it.
    """

    left: Gas
    is_full: bool = False

    def fit(
        self, plans: tuple[Plan, ...], used: Sequence[Gas], model: GasModel, data_gas: Gas
    ) -> tuple[Plan, ...]:
        """
        Return the first of a transaction's plans that the block takes, and reserve their gas.

        ``used`` is what each step took; where that is not known the transaction stays whole. The
        plans that stay pay alone for what all of them shared.
        """
        if self.is_full:
            return ()
        fitting = plans
        if all(used):
            fitting = self._first(plans, used, model, data_gas)
            self.is_full = len(fitting) < len(plans)
        self.left = Gas(self.left - sum(plan.gas for plan in fitting))
        return fitting

    def _first(
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
