"""Shared tips of a transaction, which all of its plans pay alike.

A tip is charged per unit of gas, whatever each plan earns. If the most profitable plan fails, the
others pay it alone, and with more gas, since a failed step leaves the storage slots cold that it
would have warmed. So each plan's enforced minimum covers the tip on all the gas that it may use, no
tip is higher than the poorest plan of the transaction can pay, and plans with too different profits
do not share a transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.plan import Plan
from keeper.domain.units import BPS, Bps, Gas, Wei, mul_div_ceil, mul_div_floor
from keeper.strategy.gas import GAS_MARGIN_BPS
from keeper.strategy.policy import Policy

COLD_MARGIN_BPS: Final = Bps(10_000)
"""How much more gas than simulated a step behind others takes at most where those fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """Value of a simulated plan, and its cost without a bid.

    ``sure`` is the part of the value that remains at every inclusion in the window, since interest
    accrues. ``minimum`` is the least net profit, negative for a subsidised loss. ``margin_bps`` is
    the possible excess over the simulated gas.
    """

    worth: Wei
    sure: Wei
    gas: Gas
    gas_price: Wei
    data_fee: Wei
    minimum: Wei
    margin_bps: Bps


def margin_of_place(place: int) -> Bps:
    """Return the possible excess over the simulated gas of a step, by its place."""
    return COLD_MARGIN_BPS if place else GAS_MARGIN_BPS


def common_tip(earned: Sequence[Earned], policy: Policy) -> Wei:
    """Compute the tip per unit of gas that one transaction's plans offer, rounded down.

    In total it is the policy's share of their net profits, as far as each of them can pay it.
    """
    gas = sum(plan.gas for plan in earned)
    if not policy.profit_bid_bps or not gas:
        return Wei(0)
    offered = sum(_compute_share(plan, policy) for plan in earned)
    poorest = min(_compute_max_bid(plan) // max(plan.gas, 1) for plan in earned)
    return Wei(min(offered // gas, poorest))


def required_profit(plan: Earned, tip: Wei, margin_bps: Bps) -> Wei:
    """Compute the profit that leaves the minimum at the simulated gas with a margin."""
    cost = plan.gas * (plan.gas_price + tip)
    paid = mul_div_ceil(cost, BPS + margin_bps, BPS)
    return Wei(max(0, paid + plan.data_fee + plan.minimum))


def can_share_tip(plans: Sequence[Plan], policy: Policy) -> bool:
    """Return whether each of the plans could pay alone the tip that they offer together.

    By their estimates, before they are simulated.
    """
    if not policy.profit_bid_bps or len(plans) == 1:
        return True
    gas = max(sum(plan.gas for plan in plans), 1)
    net = sum(max(0, plan.net_profit) for plan in plans)
    tip = mul_div_floor(net, policy.profit_bid_bps, BPS) // gas
    return all(_can_pay(plan, tip, margin_of_place(place)) for place, plan in enumerate(plans))


def _can_pay(plan: Plan, tip: int, margin: Bps) -> bool:
    cost = plan.gas * plan.gas_price
    dear = mul_div_ceil(plan.gas * (plan.gas_price + tip), BPS + margin, BPS)
    return not tip or plan.net_profit + cost >= dear


def _compute_share(plan: Earned, policy: Policy) -> int:
    net = plan.worth - plan.gas * plan.gas_price - plan.data_fee
    return mul_div_floor(max(0, net), policy.profit_bid_bps, BPS)


def _compute_max_bid(plan: Earned) -> int:
    """Compute the bid that leaves the minimum even if the gas with its margin is used."""
    left = plan.sure - plan.data_fee - max(0, plan.minimum)
    paid = mul_div_floor(max(0, left), BPS, BPS + plan.margin_bps)
    return max(0, paid - plan.gas * plan.gas_price)
