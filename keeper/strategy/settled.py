"""Plans after their simulation: what the very transaction earned and used, not an estimate."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from keeper.domain.decision import Skip, SkipReason
from keeper.domain.plan import Batch, Plan, SimulatedBatch, SimulatedPlan
from keeper.domain.units import Gas, MarketKey, TokenUnits, Wei, mul_div_ceil, mul_div_floor

NO_FEE: Final = Wei(0)


def settled(
    batch: Batch,
    simulated: SimulatedBatch,
    minimums: Mapping[MarketKey, Wei],
    data_fee: Wei = NO_FEE,
) -> tuple[Plan, ...]:
    """
    Return the batch's plans with profits and gas as simulated.

    The transaction's gas is shared among its plans as their estimates were, rounded
    up. A profit in the spend token keeps the plan's price of it, rounded down. The
    minimum that the executor enforces follows: the gas that was really used, an equal share of
    the ``data_fee``, and the market's least net profit (``minimums``), but never more than
    what is sure.
    """
    shared = Wei(mul_div_ceil(data_fee, 1, max(len(batch.plans), 1)))
    estimated = sum(plan.gas for plan in batch.plans)
    return tuple(
        _settled(
            replace(plan, data_fee=shared),
            outcome,
            Gas(mul_div_ceil(simulated.gas_used, plan.gas, estimated)),
            _least(plan, minimums),
        )
        for plan, outcome in zip(batch.plans, simulated.plans, strict=True)
    )


def losses(plans: Sequence[Plan], minimums: Mapping[MarketKey, Wei]) -> list[Skip]:
    """
    Return a skip for every settled plan that does not pay, with the numbers.

    ``GAS_TOO_EXPENSIVE`` where it would lose money, ``BELOW_MIN_PROFIT`` where it nets less
    than its market's minimum, or where the least that the executor lets pass would not
    pay the gas.
    """
    found = ((plan, _too_little(plan, _least(plan, minimums))) for plan in plans)
    return [_skip(plan, *why) for plan, why in found if why is not None]


def _least(plan: Plan, minimums: Mapping[MarketKey, Wei]) -> Wei:
    """Return the least that a plan must net: its market's minimum, or less by its subsidy."""
    return Wei(-plan.subsidy) if plan.subsidy else minimums[plan.market]


def _too_little(plan: Plan, minimum: Wei) -> tuple[SkipReason, str] | None:
    cost = plan.gas * plan.gas_price + plan.data_fee
    figures = (
        f"simulated: {plan.gross_profit_wei} wei of profit,"
        f" {plan.gas} gas at {plan.gas_price} wei,{_published(plan)} net {plan.net_profit} wei"
    )
    if plan.net_profit < min(0, minimum):
        return SkipReason.GAS_TOO_EXPENSIVE, figures
    if plan.net_profit < (minimum if plan.subsidy else max(minimum, 1)):
        return SkipReason.BELOW_MIN_PROFIT, f"{figures} of {minimum} wei at least"
    enforced = mul_div_floor(plan.min_profit, plan.gross_profit_wei, max(plan.gross_profit, 1))
    if enforced < cost - plan.subsidy - 1:  # a wei is what rounding the price down may cost
        return SkipReason.BELOW_MIN_PROFIT, f"{figures}; at the deadline it may be a loss"
    return None


def _settled(plan: Plan, outcome: SimulatedPlan, gas: Gas, minimum: Wei) -> Plan:
    worth, least = 0, plan.min_profit
    cost = gas * plan.gas_price + plan.data_fee
    if plan.gross_profit_wei > 0:
        worth = mul_div_floor(outcome.profit, plan.gross_profit_wei, plan.gross_profit)
        wanted = mul_div_ceil(max(0, cost + minimum), plan.gross_profit, plan.gross_profit_wei)
        least = TokenUnits(min(wanted, plan.sure_profit, outcome.profit))
    return replace(
        plan,
        gross_profit=outcome.profit,
        gross_profit_wei=Wei(worth),
        gas=gas,
        net_profit=Wei(worth - cost),
        min_profit=least,
    )


def _published(plan: Plan) -> str:
    return f" {plan.data_fee} wei for its data," if plan.data_fee else ""


def _skip(plan: Plan, reason: SkipReason, detail: str) -> Skip:
    return Skip(
        market=plan.market,
        account=plan.account,
        reason=reason,
        detail=detail,
        net_profit=plan.net_profit,
    )
