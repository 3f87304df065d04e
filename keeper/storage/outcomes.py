"""Outcomes of transactions as entries of the record, with their reversal after a reorg."""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from keeper.audit.canonical import canonical
from keeper.audit.chain import NewEntry
from keeper.domain.plan import Plan
from keeper.domain.submission import Inclusion, NonceState, PlanOutcome
from keeper.domain.units import Timestamp
from keeper.storage import submissions
from keeper.storage.documents import outcomes_from, plan_from
from keeper.storage.record import append
from keeper.storage.schema import LANE, intents, outcomes, transactions

OUTCOME = "outcome"
REOPENED = "reopened"
CURE = "cure"
CLEARING = "clearing"
LIQUIDATION = "liquidation"


def include(connection: Connection, nonce: int, inclusion: Inclusion) -> None:
    """Persist a nonce's receipt, also in the record."""
    submissions.include(connection, nonce, inclusion)
    planned = _match_plans(_load_plans(connection, nonce), inclusion.plans)
    pairs = zip(inclusion.plans, planned, strict=True)
    append(connection, [_build_outcome_entry(nonce, inclusion, *pair) for pair in pairs])


def reopen(connection: Connection, nonce: int) -> None:
    """Remove a receipt after a reorg, also in the record."""
    _append_state(connection, nonce, REOPENED)
    submissions.reopen(connection, nonce)


def finalise(connection: Connection, nonce: int) -> None:
    """Persist that a receipt is final, also in the record."""
    _append_state(connection, nonce, NonceState.FINAL)
    submissions.finalise(connection, nonce)


def _load_plans(connection: Connection, nonce: int) -> list[Plan]:
    """Load the plans of a nonce, in the order of its steps."""
    rows = connection.execute(
        select(intents.c.plan)
        .join(transactions, transactions.c.id == intents.c.transaction_id)
        .where(transactions.c.lane == LANE, transactions.c.nonce == nonce)
        .order_by(intents.c.position)
    )
    return [plan_from(row.plan) for row in rows]


def _match_plans(meant: Sequence[Plan], outcomes: Sequence[PlanOutcome]) -> list[Plan | None]:
    """Return the plan of each outcome: of an account's rounds each its own, in their order."""
    waiting = dict[tuple[str, str], list[Plan]]()
    for plan in reversed(meant):
        waiting.setdefault((plan.market, plan.account), []).append(plan)
    found = [waiting.get((one.market, one.account)) for one in outcomes]
    return [rounds.pop() if rounds else None for rounds in found]


def _classify_plan(plan: Plan | None) -> str:
    if plan is None:
        return LIQUIDATION
    return CURE if plan.is_cure else CLEARING if plan.is_clearance else LIQUIDATION


def _build_outcome_entry(
    nonce: int, inclusion: Inclusion, plan: PlanOutcome, planned: Plan | None
) -> NewEntry:
    return NewEntry(
        kind=OUTCOME,
        block_number=inclusion.block_number,
        block_time=inclusion.timestamp,
        market=plan.market,
        account=plan.account,
        body=canonical(
            {
                "state": str(NonceState.INCLUDED),
                "what": _classify_plan(planned),
                "spend": None if planned is None else planned.spend,
                "nonce": nonce,
                "hash": inclusion.hash,
                "block_hash": inclusion.block_hash,
                "success": inclusion.success,
                "token": plan.token,
                "profit": plan.profit,
                "profit_wei": plan.profit_wei,
                "failure": plan.failure,
                "gas_used": inclusion.gas_used,
                "effective_gas_price": inclusion.effective_gas_price,
            }
        ),
    )


def _append_state(connection: Connection, nonce: int, state: str) -> None:
    """Append a new state of a nonce's outcome to the record."""
    row = connection.execute(
        select(outcomes)
        .join(transactions, transactions.c.id == outcomes.c.transaction_id)
        .where(transactions.c.lane == LANE, transactions.c.nonce == nonce)
        .order_by(outcomes.c.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return
    told = {"state": state, "nonce": nonce, "hash": row.hash, "block_hash": row.block_hash}
    plans: Sequence[PlanOutcome] = outcomes_from(row.plans)
    append(
        connection,
        [
            NewEntry(
                kind=OUTCOME,
                block_number=row.block_number,
                block_time=Timestamp(row.block_time or 0),
                market=one.market,
                account=one.account,
                body=canonical(told),
            )
            for one in plans
        ],
    )
