"""Rows of breakers and of mined spending, inside the caller's transaction."""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from keeper.domain.breaker import PROBE, Breaker, BreakerState, OpenBreaker, Spent
from keeper.domain.failure import has_defect
from keeper.domain.submission import AttemptKind, NonceState
from keeper.domain.units import Timestamp, Wei, deployment
from keeper.storage.documents import outcomes_from
from keeper.storage.schema import LANE, attempts, breakers, outcomes, transactions
from keeper.storage.submissions import now

_SETTLED: Final = (NonceState.INCLUDED, NonceState.FINAL)


def spent(connection: Connection, since: Timestamp, newest: int) -> list[Spent]:
    """Return the costs mined since a time, and the ``newest`` liquidations of any age, by nonce.

    Transactions removed by a reorg are not included.
    """
    acting = _select_receipts().where(
        transactions.c.executor.is_not(None), attempts.c.kind != AttemptKind.CANCEL
    )
    rows = [
        *connection.execute(_select_receipts().where(outcomes.c.block_time > since)),
        *connection.execute(acting.order_by(transactions.c.nonce.desc()).limit(newest)),
    ]
    found = {row.nonce: _build_spent(row) for row in rows}
    return [found[nonce] for nonce in sorted(found)]


def states(connection: Connection) -> list[BreakerState]:
    """Return every breaker's state, in the order of declaration."""
    rows = connection.execute(select(breakers).order_by(breakers.c.id)).all()
    return [_build_state(name, [row for row in rows if row.name == name]) for name in Breaker]


def open_breaker(connection: Connection, opened: OpenBreaker) -> None:
    """Persist that a breaker is open. One that is already open stays unchanged."""
    held = select(breakers.c.id).where(breakers.c.name == opened.name, _is_open())
    if connection.execute(held).first() is not None:
        return
    connection.execute(
        insert(breakers).values(
            name=opened.name,
            detail=opened.detail,
            wanted=opened.wanted,
            block_number=opened.block_number,
            block_time=opened.timestamp,
            opened_at=now(),
        )
    )


def close_breaker(connection: Connection, name: Breaker, by: str, *, forgive: bool) -> bool:
    """Persist that a breaker is closed, with the cause. Return whether it was open.

    With ``forgive`` the breaker no longer counts what was mined so far.
    """
    through = connection.execute(
        select(func.max(transactions.c.nonce)).where(
            transactions.c.lane == LANE, transactions.c.state.in_(_SETTLED)
        )
    ).scalar()
    changed = connection.execute(
        update(breakers)
        .where(breakers.c.name == name, _is_open())
        .values(closed_at=now(), closed_by=by, settled_through=through if forgive else None)
    )
    return changed.rowcount > 0


def _select_receipts() -> Select[Any]:
    return (
        select(
            transactions.c.nonce,
            transactions.c.executor,
            attempts.c.kind,
            outcomes.c.block_number,
            outcomes.c.block_time,
            outcomes.c.gas_used,
            outcomes.c.effective_gas_price,
            outcomes.c.data_fee,
            outcomes.c.success,
            outcomes.c.plans,
        )
        .join(transactions, transactions.c.id == outcomes.c.transaction_id)
        .join(attempts, attempts.c.hash == outcomes.c.hash)
        .where(transactions.c.lane == LANE, outcomes.c.state.in_(_SETTLED))
    )


def _is_open() -> Any:  # noqa: ANN401 (SQLAlchemy's own expression)
    return breakers.c.closed_at.is_(None)


def _build_spent(row: Row[Any]) -> Spent:
    acting = row.executor is not None and row.kind != AttemptKind.CANCEL
    failed = acting and not row.success
    plans = [plan for plan in outcomes_from(row.plans) if plan.failure]
    # An isolated market is permissionless, so its failures only skip it and cost gas.
    shared = [plan.failure for plan in plans if deployment(plan.market) == plan.market]
    defect = failed and (not plans or has_defect(shared))
    lost = failed and not defect
    return Spent(
        nonce=row.nonce,
        block_number=row.block_number,
        timestamp=row.block_time,
        cost=Wei(row.gas_used * row.effective_gas_price + (row.data_fee or 0)),
        reverted=None if lost or not acting else defect,
        lost_race=lost,
    )


def _build_state(name: Breaker, rows: Sequence[Row[Any]]) -> BreakerState:
    held = [row for row in rows if row.closed_at is None]
    forgiven = [row.settled_through for row in rows if row.settled_through is not None]
    closings = [row.closed_by for row in rows if row.closed_at is not None]
    return BreakerState(
        name=name,
        open=_build_open_breaker(held[-1]) if held else None,
        settled_through=max(forgiven, default=-1),
        probes=sum(1 for _ in takewhile(PROBE.__eq__, reversed(closings))),
    )


def _build_open_breaker(row: Row[Any]) -> OpenBreaker:
    return OpenBreaker(
        name=Breaker(row.name),
        detail=row.detail,
        block_number=row.block_number,
        timestamp=row.block_time,
        wanted=row.wanted,
    )
