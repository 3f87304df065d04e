"""What a batch brought on chain, plan by plan, from the executor's own logs."""

from collections.abc import Sequence

from keeper.domain.plan import Batch, Plan
from keeper.domain.reads import Log
from keeper.domain.submission import PlanOutcome
from keeper.domain.units import TokenUnits, Wei
from keeper.execution.executor import StepReport, decode_logs

NOT_REPORTED = "the executor did not report it"


def plan_outcomes(batch: Batch, logs: Sequence[Log]) -> tuple[PlanOutcome, ...]:
    """
    Return one outcome per plan; a plan without a log of its own failed.

    The worth in wei is at the plan's own prices, rounded down.

    Raises:
        RpcMalformed: a log of the executor is not one of its own.
    """
    reports = {one.index: one for one in decode_logs(logs, batch.executor)}
    return tuple(_outcome(plan, reports.get(index)) for index, plan in enumerate(batch.plans))


def _outcome(plan: Plan, report: StepReport | None) -> PlanOutcome:
    profit = TokenUnits(0) if report is None else report.profit
    worth = profit * plan.gross_profit_wei // plan.gross_profit if plan.gross_profit > 0 else 0
    return PlanOutcome(
        market=plan.market,
        account=plan.account,
        token=plan.spend_token,
        profit=profit,
        profit_wei=Wei(worth),
        failure=NOT_REPORTED if report is None else report.failure,
    )
