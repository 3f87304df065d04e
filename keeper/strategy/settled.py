"""Repricing of plans after their simulation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from keeper.domain.decision import Skip, SkipReason
from keeper.domain.plan import Batch, Plan, SimulatedBatch, SimulatedPlan
from keeper.domain.units import (
    BPS,
    Bps,
    Gas,
    MarketKey,
    TokenUnits,
    Wei,
    mul_div_ceil,
    mul_div_floor,
)
from keeper.strategy.bids import Earned, common_tip, margin_of_place, required_profit
from keeper.strategy.gas import GAS_MARGIN_BPS
from keeper.strategy.policy import Policy
from keeper.strategy.rounds import drop_unled

NO_FEE: Final = Wei(0)
_NO_MARGIN: Final = Bps(0)


def settled(
    batch: Batch,
    simulated: SimulatedBatch,
    minimums: Mapping[MarketKey, Wei],
    policy: Policy,
    data_fee: Wei = NO_FEE,
) -> tuple[Plan, ...]:
    """Return the batch's plans with profits, gas and bids as simulated.

    The transaction's gas is shared among its plans by each step's use, rounded up, or by their
    estimates if the executor does not report it. A profit in the spend token keeps the plan's
    price, rounded down.

    The minimum profit that the executor enforces follows. It pays for the gas used, an equal share
    of the ``data_fee``, the bid and the market's least net profit (``minimums``). It also protects
    the simulated profit less the policy's tolerance, as far as that is certain at every inclusion
    in the window. The larger of the two counts.
    """
    shared = Wei(mul_div_ceil(data_fee, 1, max(len(batch.plans), 1)))
    plans = [replace(plan, data_fee=shared) for plan in batch.plans]
    earned = [
        _build_margin(plan, outcome, gas, _get_least_net(plan, minimums), margin_of_place(place))
        for place, (plan, outcome, gas) in enumerate(
            zip(plans, simulated.plans, shared_gas(batch, simulated), strict=True)
        )
    ]
    tip = common_tip(earned, policy)
    return tuple(
        _recalculate_plan(plan, outcome, own, tip, policy)
        for plan, outcome, own in zip(plans, simulated.plans, earned, strict=True)
    )


def shared_gas(batch: Batch, simulated: SimulatedBatch) -> list[Gas]:
    """Compute each plan's share of the gas that a simulated batch used, rounded up."""
    weights: list[int] = [outcome.gas_used for outcome in simulated.plans]
    if not all(weights):
        weights = [plan.gas for plan in batch.plans]
    total = max(sum(weights), 1)
    return [Gas(mul_div_ceil(simulated.gas_used, weight, total)) for weight in weights]


def losses(plans: Sequence[Plan], minimums: Mapping[MarketKey, Wei]) -> list[Skip]:
    """Return a skip for every repriced plan that does not pay, with the figures.

    ``GAS_TOO_EXPENSIVE`` if it would lose money, ``BELOW_MIN_PROFIT`` if it nets less than its
    market's minimum, or if the least profit that the executor accepts would not pay the gas.
    """
    return [skip for plan in plans if (skip := loss(plan, minimums)) is not None]


def loss(plan: Plan, minimums: Mapping[MarketKey, Wei]) -> Skip | None:
    """Return why a repriced plan does not pay. None if it does."""
    why = _check_profit(plan, _get_least_net(plan, minimums))
    return None if why is None else _build_skip(plan, *why)


def _get_least_net(plan: Plan, minimums: Mapping[MarketKey, Wei]) -> Wei:
    """Return the least net profit of a plan, its market's minimum or minus its subsidy."""
    return Wei(-plan.subsidy) if plan.subsidy else minimums[plan.market]


def _check_profit(plan: Plan, minimum: Wei) -> tuple[SkipReason, str] | None:
    cost = plan.gas * plan.gas_price + plan.data_fee
    figures = (
        f"simulated: {plan.gross_profit_wei} wei of profit,"
        f" {plan.gas} gas at {plan.gas_price} wei,{_format_data_fee(plan)}"
        f" net {plan.net_profit} wei"
    )
    if plan.net_profit < min(0, minimum):
        return SkipReason.GAS_TOO_EXPENSIVE, figures
    if plan.net_profit < (minimum if plan.subsidy else max(minimum, 1)):
        return SkipReason.BELOW_MIN_PROFIT, f"{figures} of {minimum} wei at least"
    sure = min(plan.sure_profit, plan.gross_profit)
    worst = mul_div_floor(sure, plan.gross_profit_wei, max(plan.gross_profit, 1))
    if worst < cost - plan.subsidy - 1:  # a wei is what rounding the price down may cost
        return SkipReason.BELOW_MIN_PROFIT, f"{figures}; at the deadline it may be a loss"
    return None


def _build_margin(
    plan: Plan, outcome: SimulatedPlan, gas: Gas, minimum: Wei, margin: Bps
) -> Earned:
    worth, sure = 0, 0
    if plan.gross_profit_wei > 0:
        worth = mul_div_floor(outcome.profit, plan.gross_profit_wei, plan.gross_profit)
        sure = mul_div_floor(worth, min(plan.sure_profit, plan.gross_profit), plan.gross_profit)
    return Earned(
        worth=Wei(worth),
        sure=Wei(sure),
        gas=gas,
        gas_price=plan.gas_price,
        data_fee=plan.data_fee,
        minimum=minimum,
        margin_bps=margin,
    )


def _recalculate_plan(
    plan: Plan, outcome: SimulatedPlan, own: Earned, tip: Wei, policy: Policy
) -> Plan:
    least, bid = plan.min_profit, own.gas * tip
    cost = own.gas * own.gas_price + own.data_fee
    if plan.gross_profit_wei > 0:
        margin = own.margin_bps if tip else _NO_MARGIN
        required, roomy = (
            mul_div_ceil(required_profit(own, tip, more), plan.gross_profit, plan.gross_profit_wei)
            for more in (margin, GAS_MARGIN_BPS)
        )
        protected = mul_div_floor(outcome.profit, BPS - policy.tolerance_bps, BPS)
        sure = min(max(protected, roomy), plan.sure_profit)
        least = TokenUnits(min(max(required, sure), outcome.profit))
    return replace(
        plan,
        gross_profit=outcome.profit,
        gross_profit_wei=own.worth,
        gas=own.gas,
        net_profit=Wei(own.worth - cost - bid),
        min_profit=least,
        bid=Wei(bid),
        least_net=Wei(max(0, own.minimum)),
    )


def sharing_less(plans: Sequence[Plan], whole: int, shared: Gas) -> tuple[Plan, ...]:
    """Return plans that share ``shared`` gas among fewer than the ``whole`` number before.

    Each plan's gas, and the minimum profit that covers it, are raised by its larger share. Plans
    that then net less than their least are removed, which raises the others' shares again.
    """
    kept = tuple(plans)
    while kept:
        more = mul_div_ceil(shared, whole - len(kept), whole * len(kept))
        raised = tuple(_add_gas(plan, Gas(more)) for plan in kept)
        paying = tuple(
            plan
            for plan, one in zip(kept, raised, strict=True)
            if one.net_profit >= _get_floor(one)
        )
        paying = tuple(drop_unled(kept, paying))
        if len(paying) == len(kept):
            return raised
        kept = paying
    return ()


def _get_floor(plan: Plan) -> int:
    return -plan.subsidy if plan.subsidy else plan.least_net


def _add_gas(plan: Plan, more: Gas) -> Plan:
    gas, cost = Gas(plan.gas + more), more * plan.gas_price
    least = plan.min_profit
    if plan.gross_profit_wei > 0:
        paid = gas * plan.gas_price + plan.data_fee + plan.bid + _get_floor(plan)
        required = mul_div_ceil(max(0, paid), plan.gross_profit, plan.gross_profit_wei)
        least = TokenUnits(min(max(required, least), plan.gross_profit))
    return replace(plan, gas=gas, net_profit=Wei(plan.net_profit - cost), min_profit=least)


def _format_data_fee(plan: Plan) -> str:
    return f" {plan.data_fee} wei for its data," if plan.data_fee else ""


def _build_skip(plan: Plan, reason: SkipReason, detail: str) -> Skip:
    return Skip(
        market=plan.market,
        account=plan.account,
        reason=reason,
        detail=detail,
        net_profit=plan.net_profit,
    )
