"""Outcomes of a batch's plans on chain, from the executor's own logs."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from keeper.chain.records import Receipt
from keeper.domain.errors import ChainError, RpcRefused
from keeper.domain.failure import (
    MOVED_MEANWHILE,
    TOUCHED,
    UNTOUCHED,
    FailureKind,
    classify_failure,
)
from keeper.domain.head import Basis
from keeper.domain.plan import Batch, Plan
from keeper.domain.reads import Call, Log, LogFilter
from keeper.domain.submission import NO_LOG, Attempt, PlanOutcome
from keeper.domain.units import Address, TokenUnits, Wei
from keeper.execution.chain import Chain
from keeper.execution.executor import StepReport, decode_logs
from keeper.execution.receipts import ReadsBlockLogs, Settlement
from keeper.execution.reverts import failure_reason, step_reasons
from keeper.execution.vault import clear_outcome, cure_outcome

REVERTED = "the whole transaction reverted"
NOT_REPORTED = "the executor did not report it"
LOGS_SECONDS: Final = 2.0
"""Timeout of reading the logs of a failure's block. The receipt is noted after that."""

_TOLD_BY_TOUCH: Final = frozenset({FailureKind.RACE, FailureKind.DEFECT})


def plan_outcomes(batch: Batch, logs: Sequence[Log]) -> tuple[PlanOutcome, ...]:
    """Build one outcome per plan. A plan without a log of its own failed.

    The value in wei is at the plan's own prices, rounded down.

    Raises:
        RpcMalformed: a log of the executor (or of the vault) has an unknown form.
    """
    if any(plan.is_cure for plan in batch.plans):
        return tuple(cure_outcome(plan, logs, batch.executor) for plan in batch.plans)
    if any(plan.is_clearance for plan in batch.plans):
        return tuple(clear_outcome(plan, logs, batch.executor) for plan in batch.plans)
    reports = {one.index: one for one in decode_logs(logs, batch.executor)}
    return tuple(_build_outcome(plan, reports.get(index)) for index, plan in enumerate(batch.plans))


def failed_outcomes(batch: Batch, why: Sequence[str]) -> tuple[PlanOutcome, ...]:
    """Build the outcomes of plans that all failed, each with its reason."""
    return tuple(
        _build_outcome(plan, StepReport(index=0, failure=reason))
        for plan, reason in zip(batch.plans, why, strict=True)
    )


async def why_reverted(
    chain: Chain, batch: Batch, attempt: Attempt, settlement: Settlement, sender: Address
) -> list[str]:
    """Return each plan's reason in a failed transaction, as far as it can be found afterwards.

    A receipt does not state it, so the call is run again on the state after its block.
    """
    reason = await _fetch_reasons(chain, batch, attempt, settlement, sender)
    if isinstance(reason, str):
        return [reason] * len(batch.plans)
    return [f"{REVERTED}: nothing worked: {own}" for own in reason]


async def _fetch_reasons(
    chain: Chain, batch: Batch, attempt: Attempt, settlement: Settlement, sender: Address
) -> str | list[str]:
    """Return the reason of the whole transaction, or each step's own."""
    if settlement.gas_used >= attempt.gas_limit:
        return f"{REVERTED}: out of gas"
    call = Call(target=batch.executor, data=attempt.calldata)
    try:
        await chain.call(call, Basis(block_hash=settlement.receipt.block_hash), sender=sender)
    except RpcRefused as error:
        steps = step_reasons(error.data)
        if len(steps) == len(batch.plans):
            return steps
        return f"{REVERTED}: {failure_reason(error.data)}" if error.data else REVERTED
    except ChainError:
        return REVERTED
    if await _has_other_trades(chain, batch, settlement.receipt):
        return f"{REVERTED}: {MOVED_MEANWHILE}"
    return f"{REVERTED}: it would have worked after the others of its block"


async def with_touches(
    chain: Chain, outcomes: tuple[PlanOutcome, ...], receipt: Receipt
) -> tuple[PlanOutcome, ...]:
    """Add to failed outcomes whether other transactions of the block touched the account.

    A liquidatable account that the chain called healthy although no transaction touched it may be
    in a market that detects simulations. A defect of an account that others touched does not count
    against its market. If the logs cannot be read, nothing is added.
    """
    kinds = {outcome: classify_failure(outcome.failure) for outcome in outcomes if outcome.failure}
    if not _TOLD_BY_TOUCH & set(kinds.values()) or not isinstance(chain, ReadsBlockLogs):
        return outcomes
    try:
        async with asyncio.timeout(LOGS_SECONDS):
            logs = await chain.block_logs(LogFilter(addresses=()), receipt.block_hash)
    except (ChainError, TimeoutError):
        return outcomes
    others = [
        b"".join((*log.topics, log.data))
        for log in logs
        if log.transaction_hash != receipt.transaction_hash
    ]

    def noted(outcome: PlanOutcome) -> PlanOutcome:
        account, kind = bytes.fromhex(outcome.account.removeprefix("0x")), kinds.get(outcome)
        touched = any(account in log for log in others)
        added = TOUCHED if kind is FailureKind.DEFECT and touched else ""
        added = UNTOUCHED if kind is FailureKind.RACE and not touched else added
        return replace(outcome, failure=outcome.failure + added)

    return tuple(noted(outcome) for outcome in outcomes)


async def _has_other_trades(chain: Chain, batch: Batch, receipt: Receipt) -> bool:
    """Return whether another transaction of the block logged at the batch's pools."""
    pools = {pool for plan in batch.plans for pool in plan.route.pools}
    if not pools:
        return False
    try:
        logs = await chain.block_logs(LogFilter(addresses=tuple(sorted(pools))), receipt.block_hash)
    except ChainError:
        return False
    return any(log.transaction_hash != receipt.transaction_hash for log in logs)


def _build_outcome(plan: Plan, report: StepReport | None) -> PlanOutcome:
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
