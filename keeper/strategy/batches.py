"""Plans into transactions: in order, since later plans are priced on what earlier ones leave."""

from collections.abc import Sequence

from keeper.domain.plan import Plan
from keeper.domain.units import Wei
from keeper.strategy.gas import GasModel
from keeper.strategy.policy import Costs, Policy


def packed(
    plans: Sequence[Plan], policy: Policy, costs: Costs, gas_model: GasModel
) -> list[tuple[Plan, ...]]:
    """
    Return consecutive plans grouped into transactions, in their order.

    A group holds at most ``policy.max_plans_per_transaction`` plans and asks for no
    more gas, headroom included, than policy and block allow. A plan that is too big
    for any transaction is alone in its group; sizing never makes one.
    """
    groups: list[tuple[Plan, ...]] = []
    group: tuple[Plan, ...] = ()
    for plan in plans:
        grown = (*group, plan)
        if group and not _fits(grown, policy, costs, gas_model):
            groups.append(group)
            grown = (plan,)
        group = grown
    return [*groups, group] if group else groups


def batch_net_profit(plans: Sequence[Plan], gas_model: GasModel) -> Wei:
    """
    Return the expected net profit of plans that share one transaction.

    Each plan is priced as if it were alone, so that it pays even where the others
    fail; together they pay the transaction's own gas only once.
    """
    shared = sum(gas_model.transaction * plan.gas_price for plan in plans[1:])
    return Wei(sum(plan.net_profit for plan in plans) + shared)


def _fits(plans: Sequence[Plan], policy: Policy, costs: Costs, gas_model: GasModel) -> bool:
    if len(plans) > policy.max_plans_per_transaction:
        return False
    return gas_model.fits(gas_model.batch_limit(plans, policy), policy, costs)
