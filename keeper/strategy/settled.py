"""Plans after their simulation: what the very transaction earned and used, not an estimate."""

from collections.abc import Sequence
from dataclasses import replace

from keeper.domain.plan import Batch, Plan, SimulatedBatch, SimulatedPlan
from keeper.domain.units import Gas, Wei, mul_div_ceil


def settled(batch: Batch, simulated: SimulatedBatch) -> Batch:
    """
    Return the batch with profits and gas as simulated; the bytes to be sent stay as they are.

    The transaction's gas is shared among its plans as their estimates were, rounded
    up. A profit in the spend token keeps the plan's price of it, rounded down.
    """
    estimated = sum(plan.gas for plan in batch.plans)
    plans = tuple(
        _settled(plan, outcome, Gas(mul_div_ceil(simulated.gas_used, plan.gas, estimated)))
        for plan, outcome in zip(batch.plans, simulated.plans, strict=True)
    )
    return replace(batch, plans=plans, net_profit=net_profit(plans))


def net_profit(plans: Sequence[Plan]) -> Wei:
    """Return what plans that share a transaction net together."""
    return Wei(sum(plan.net_profit for plan in plans))


def _settled(plan: Plan, outcome: SimulatedPlan, gas: Gas) -> Plan:
    worth = (
        outcome.profit * plan.gross_profit_wei // plan.gross_profit if plan.gross_profit > 0 else 0
    )
    return replace(
        plan,
        gross_profit=outcome.profit,
        gross_profit_wei=Wei(worth),
        gas=gas,
        net_profit=Wei(worth - gas * plan.gas_price),
    )
