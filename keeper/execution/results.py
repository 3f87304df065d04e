"""What a batch brought on chain, plan by plan, from the executor's own logs."""

from collections.abc import Sequence

from keeper.chain.records import Receipt
from keeper.domain.errors import ChainError, RpcRefused
from keeper.domain.failure import MOVED_MEANWHILE
from keeper.domain.head import Basis
from keeper.domain.plan import Batch, Plan
from keeper.domain.reads import Call, Log, LogFilter
from keeper.domain.submission import NO_LOG, Attempt, PlanOutcome
from keeper.domain.units import Address, TokenUnits, Wei
from keeper.execution.chain import Chain
from keeper.execution.executor import StepReport, decode_logs
from keeper.execution.receipts import Settlement
from keeper.execution.reverts import failure_reason
from keeper.execution.vault import clear_outcome, cure_outcome

REVERTED = "the whole transaction reverted"
NOT_REPORTED = "the executor did not report it"


def plan_outcomes(batch: Batch, logs: Sequence[Log]) -> tuple[PlanOutcome, ...]:
    """
    Return one outcome per plan; a plan without a log of its own failed.

    The worth in wei is at the plan's own prices, rounded down.

    Raises:
        RpcMalformed: a log of the executor (or of the vault) is not one of its own.
    """
    if any(plan.is_cure for plan in batch.plans):
        return tuple(cure_outcome(plan, logs, batch.executor) for plan in batch.plans)
    if any(plan.is_clearance for plan in batch.plans):
        return tuple(clear_outcome(plan, logs, batch.executor) for plan in batch.plans)
    reports = {one.index: one for one in decode_logs(logs, batch.executor)}
    return tuple(_outcome(plan, reports.get(index)) for index, plan in enumerate(batch.plans))


def failed_outcomes(batch: Batch, why: str) -> tuple[PlanOutcome, ...]:
    """Return the outcome of plans that all failed for one reason."""
    return tuple(_outcome(plan, StepReport(index=0, failure=why)) for plan in batch.plans)


async def why_reverted(
    chain: Chain, batch: Batch, attempt: Attempt, settlement: Settlement, sender: Address
) -> str:
    """
    Return why a whole transaction failed, as far as it can be known afterwards.

    A receipt does not say it: the call is run again on the state that its block left.
    """
    if settlement.gas_used >= attempt.gas_limit:
        return f"{REVERTED}: out of gas"
    call = Call(target=batch.executor, data=attempt.calldata)
    try:
        await chain.call(call, Basis(block_hash=settlement.receipt.block_hash), sender=sender)
    except RpcRefused as error:
        return f"{REVERTED}: {failure_reason(error.data)}" if error.data else REVERTED
    except ChainError:
        return REVERTED
    if await _others_traded(chain, batch, settlement.receipt):
        return f"{REVERTED}: {MOVED_MEANWHILE}"
    return f"{REVERTED}: it would have worked after the others of its block"


async def _others_traded(chain: Chain, batch: Batch, receipt: Receipt) -> bool:
    """Return whether anybody left a log at the pools of a batch's routes in its block."""
    pools = {pool for plan in batch.plans for pool in plan.route.pools}
    if not pools:
        return False
    try:
        logs = await chain.block_logs(LogFilter(addresses=tuple(sorted(pools))), receipt.block_hash)
    except ChainError:
        return False
    return any(log.transaction_hash != receipt.transaction_hash for log in logs)


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
        log_index=NO_LOG if report is None else report.log_index,
    )
