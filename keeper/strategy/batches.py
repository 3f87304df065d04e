"""Plans into transactions: in order, since later plans are priced on what earlier ones leave."""

from collections.abc import Sequence

from keeper.domain.plan import Plan
from keeper.domain.units import Wei
from keeper.strategy.gas import GasModel, limits_of
from keeper.strategy.policy import Costs, Policy


def packed(
    plans: Sequence[Plan], policy: Policy, costs: Costs, gas_model: GasModel
) -> list[tuple[Plan, ...]]:
    """
    Return consecutive plans grouped into transactions, in their order.

    A group holds at most ``policy.max_plans_per_transaction`` plans, so that a few plans do not
    share one fate; more where ``policy.transactions`` groups of that size could not take all.
    It asks for no more gas, headroom included, than policy and block allow. A plan that is too
    big for any transaction is alone in its group; sizing never makes one.
    """
    most = max(policy.max_plans_per_transaction, -(-len(plans) // policy.transactions))
    groups: list[tuple[Plan, ...]] = []
    group: tuple[Plan, ...] = ()
    for plan in plans:
        grown = (*group, plan)
        if len(grown) > most or (group and not _fits(grown, policy, costs, gas_model)):
            groups.append(group)
            grown = (plan,)
        group = grown
    return [*groups, group] if group else groups


def batch_net_profit(plans: Sequence[Plan]) -> Wei:
    """Return the net profit of plans that share one transaction, each with its share of gas."""
    return Wei(sum(plan.net_profit for plan in plans))


def _fits(plans: Sequence[Plan], policy: Policy, costs: Costs, gas_model: GasModel) -> bool:
    return gas_model.fits(gas_model.batch_limit(limits_of(plans)), policy, costs)
