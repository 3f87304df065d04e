"""Rows of nonces, attempts and outcomes, inside the caller's transaction."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from keeper.clock import utc_now
from keeper.domain.errors import JournalError
from keeper.domain.plan import Batch, News, Plan
from keeper.domain.submission import (
    Attempt,
    AttemptKind,
    AttemptState,
    Fees,
    Inclusion,
    NonceState,
    Submission,
)
from keeper.domain.units import Wei
from keeper.storage import acted, bookings
from keeper.storage.documents import outcomes_document, outcomes_from, plan_document, plan_from
from keeper.storage.schema import LANE, ROUTE, attempts, intents, outcomes, transactions

# Built once, since building a statement costs more than running it and a send waits for it.
_NEW_TRANSACTION: Final = insert(transactions)
_NEW_INTENT: Final = insert(intents)
_NEW_ATTEMPT: Final = insert(attempts)
_NEWEST_ROUND: Final = (
    select(intents.c.round, intents.c.state, intents.c.transaction_id)
    .where(
        *(
            intents.c[name] == bindparam(name)
            for name in ("chain_id", "market", "borrower", "spent", "received")
        )
    )
    .order_by(intents.c.round.desc())
    .limit(1)
)


def now() -> str:
    """Return the current time in UTC, ISO 8601."""
    return utc_now().isoformat(timespec="milliseconds")


def record(
    connection: Connection,
    submissions: Sequence[Submission],
    chain_id: int,
    lease_epoch: int,
    news: News | None = None,
) -> None:
    """Bind nonces to their intents, with the signed bytes and the facts of acted-on accounts."""
    if news:  # mutation: G21 news-with-act
        acted.keep(connection, news)
    for one in submissions:
        batch = one.batch
        made = connection.execute(
            _NEW_TRANSACTION,
            {
                "lane": LANE,
                "nonce": one.nonce,
                "lease_epoch": lease_epoch,
                "state": one.state,
                "executor": batch.executor if batch else None,
                "calldata": batch.calldata if batch else b"",
                "gas_limit": batch.gas_limit if batch else one.newest.gas_limit,
                "deadline": batch.deadline if batch else None,
                "net_profit": batch.net_profit if batch else None,
                "block_number": one.newest.block_number,
                "created_at": now(),
            },
        )
        owner = made.inserted_primary_key[0] if made.inserted_primary_key else None
        if batch is not None:
            _record_intents(connection, int(owner or 0), batch, chain_id)
        for attempt in one.attempts:
            _insert_attempt(connection, int(owner or 0), attempt, lease_epoch)


def newest_block(connection: Connection) -> int | None:
    """Return the block at which the highest nonce was bound, None without one."""
    newest = select(transactions.c.block_number).where(transactions.c.lane == LANE)
    found = connection.execute(newest.order_by(transactions.c.nonce.desc()).limit(1)).scalar()
    return None if found is None else int(found)


def plans_at(connection: Connection, block: int) -> list[Plan]:
    """Return the plans of a block, in the order of the transactions."""
    rows = connection.execute(
        select(intents.c.plan)
        .join(transactions, transactions.c.id == intents.c.transaction_id)
        .where(transactions.c.lane == LANE, transactions.c.block_number == block)
        .order_by(intents.c.id)
    )
    return [plan_from(row.plan) for row in rows]


def _record_intents(connection: Connection, owner: int, batch: Batch, chain_id: int) -> None:
    for position, plan in enumerate(batch.plans):
        key = {
            "chain_id": chain_id,
            "market": plan.market,
            "borrower": plan.account,
            "spent": plan.spend_token,
            "received": plan.receive_token,
        }
        connection.execute(
            _NEW_INTENT,
            {
                **key,
                "transaction_id": owner,
                "position": position,
                "round": _compute_next_round(connection, key, owner),
                "state": NonceState.BOUND,
                "plan": plan_document(plan),
            },
        )


def _compute_next_round(connection: Connection, key: Mapping[str, object], owner: int) -> int:
    """
    Return the round of a key's next intent.

    Raises JournalError while the last one is open, unless it belongs to the same transaction.
    """
    newest = connection.execute(_NEWEST_ROUND, key).first()
    if newest is None:
        return 0
    if newest.state == NonceState.BOUND and newest.transaction_id != owner:
        raise JournalError(
            f"{key['borrower']} has a transaction that no block consumed yet",
            hint="nothing was signed; this is a bug: please report it",
        )
    return int(newest.round) + 1


def add_attempt(connection: Connection, attempt: Attempt, lease_epoch: int) -> None:
    """Add a replacement to a bound nonce."""
    _insert_attempt(connection, _find_owner(connection, attempt.nonce), attempt, lease_epoch)


def mark_sent(connection: Connection, sent: Sequence[Attempt], results: Sequence[str]) -> None:
    """Persist the node's answer to each send."""
    for attempt, result in zip(sent, results, strict=True):
        connection.execute(
            update(attempts)
            .where(attempts.c.hash == attempt.hash)
            .values(state=attempt.state, send_result=result[:500], sent_at=now())
        )


def release(connection: Connection, cancellation: Attempt, lease_epoch: int) -> None:
    """Release a nonce that every node refused for good.

    Its intents are closed, so that its accounts may have another transaction. The cancellation uses
    the nonce.
    """
    owner = _find_owner(connection, cancellation.nonce)
    connection.execute(
        update(attempts)
        .where(attempts.c.transaction_id == owner)
        .values(state=AttemptState.RELEASED)
    )
    connection.execute(
        update(intents).where(intents.c.transaction_id == owner).values(state=AttemptState.RELEASED)
    )
    _insert_attempt(connection, owner, cancellation, lease_epoch)


def include(connection: Connection, nonce: int, inclusion: Inclusion) -> None:
    """Persist that a block consumed the nonce."""
    owner = _find_owner(connection, nonce)
    _mark_orphaned(connection, owner)
    connection.execute(
        insert(outcomes).values(
            transaction_id=owner,
            hash=inclusion.hash,
            state=NonceState.INCLUDED,
            success=int(inclusion.success),
            block_number=inclusion.block_number,
            block_hash=inclusion.block_hash,
            gas_used=inclusion.gas_used,
            effective_gas_price=inclusion.effective_gas_price,
            plans=outcomes_document(inclusion.plans),
            created_at=now(),
            block_time=inclusion.timestamp,
            data_fee=inclusion.data_fee,
        )
    )
    bookings.book(connection, owner, inclusion, now())
    _move(connection, owner, NonceState.INCLUDED)


def reopen(connection: Connection, nonce: int) -> None:
    """Remove an inclusion, since its block is no longer canonical."""
    owner = _find_owner(connection, nonce)
    _mark_orphaned(connection, owner)
    _move(connection, owner, NonceState.BOUND)


def finalise(connection: Connection, nonce: int) -> None:
    """Persist that the inclusion is final."""
    owner = _find_owner(connection, nonce)
    connection.execute(
        update(outcomes)
        .where(outcomes.c.transaction_id == owner, outcomes.c.state == NonceState.INCLUDED)
        .values(state=NonceState.FINAL)
    )
    _move(connection, owner, NonceState.FINAL)


def high_water(connection: Connection) -> int | None:
    """Return the highest bound nonce, None without one."""
    return connection.execute(
        select(func.max(transactions.c.nonce)).where(transactions.c.lane == LANE)
    ).scalar()


def submissions_in(
    connection: Connection, states: Sequence[NonceState], *, newest: int | None = None
) -> list[Submission]:
    """Return nonces in these states, lowest first (or the ``newest`` ones, highest first)."""
    query = select(transactions).where(
        transactions.c.lane == LANE, transactions.c.state.in_(list(states))
    )
    query = (
        query.order_by(transactions.c.nonce)
        if newest is None
        else query.order_by(transactions.c.nonce.desc()).limit(newest)
    )
    return [_load_submission(connection, row) for row in connection.execute(query)]


def mined_since(connection: Connection, block_number: int) -> list[Submission]:
    """
    Return the nonces included at this block or above, lowest first.

    Those without a failed plan come without their batch and attempts.
    """
    query = (
        select(transactions.c.state.label("nonce_state"), transactions.c.nonce, outcomes)
        .join(outcomes, outcomes.c.transaction_id == transactions.c.id)
        .where(
            transactions.c.lane == LANE,
            outcomes.c.state.in_((NonceState.INCLUDED, NonceState.FINAL)),
            outcomes.c.block_number >= block_number,
        )
        .order_by(transactions.c.nonce)
    )
    return [_mined(connection, row) for row in connection.execute(query)]


def _mined(connection: Connection, row: Row[Any]) -> Submission:
    inclusion = _build_inclusion(row)
    if any(plan.failure for plan in inclusion.plans):
        query = select(transactions).where(transactions.c.id == row.transaction_id)
        return _load_submission(connection, connection.execute(query).one())
    return Submission(
        nonce=row.nonce,
        batch=None,
        attempts=(),
        state=NonceState(row.nonce_state),
        inclusion=inclusion,
    )


def final_above(connection: Connection, block_number: int) -> list[Submission]:
    """Return the final nonces above a block, lowest first."""
    mined = select(outcomes.c.transaction_id).where(
        outcomes.c.state == NonceState.FINAL, outcomes.c.block_number > block_number
    )
    query = (
        select(transactions)
        .where(
            transactions.c.lane == LANE,
            transactions.c.state == NonceState.FINAL,
            transactions.c.id.in_(mined),
        )
        .order_by(transactions.c.nonce)
    )
    return [_load_submission(connection, row) for row in connection.execute(query)]


def unbound(connection: Connection, first: int, last: int) -> list[int]:
    """Return the nonces from ``first`` to ``last``, both included, that the journal lacks."""
    found = connection.execute(
        select(transactions.c.nonce).where(
            transactions.c.lane == LANE, transactions.c.nonce.between(first, last)
        )
    ).scalars()
    return sorted(set(range(first, last + 1)) - set(found))


def _load_submission(connection: Connection, row: Row[Any]) -> Submission:
    plans = connection.execute(
        select(intents.c.plan)
        .where(intents.c.transaction_id == row.id)
        .order_by(intents.c.position)
    ).scalars()
    tries = connection.execute(
        select(attempts).where(attempts.c.transaction_id == row.id).order_by(attempts.c.id)
    )
    seen = connection.execute(
        select(outcomes).where(outcomes.c.transaction_id == row.id, outcomes.c.state != "orphaned")
    ).first()
    return Submission(
        nonce=row.nonce,
        batch=None
        if row.executor is None
        else _build_batch(row, [plan_from(one) for one in plans]),
        attempts=tuple(_build_attempt(row.nonce, one) for one in tries),
        state=NonceState(row.state),
        inclusion=None if seen is None else _build_inclusion(seen),
    )


def _build_batch(row: Row[Any], plans: Sequence[Any]) -> Batch:
    return Batch(
        plans=tuple(plans),
        executor=row.executor,
        calldata=row.calldata,
        gas_limit=row.gas_limit,
        deadline=row.deadline,
        net_profit=row.net_profit,
    )


def _build_attempt(nonce: int, row: Row[Any]) -> Attempt:
    return Attempt(
        nonce=nonce,
        kind=AttemptKind(row.kind),
        hash=row.hash,
        raw=row.raw,
        fees=Fees(max_fee=row.max_fee, priority_fee=row.priority_fee),
        gas_limit=row.gas_limit,
        to=row.to_address or None,
        calldata=row.calldata,
        block_number=row.block_number,
        state=AttemptState(row.state),
    )


def _build_inclusion(row: Row[Any]) -> Inclusion:
    return Inclusion(
        hash=row.hash,
        block_number=row.block_number,
        block_hash=row.block_hash,
        success=bool(row.success),
        gas_used=row.gas_used,
        effective_gas_price=row.effective_gas_price,
        plans=outcomes_from(row.plans),
        timestamp=row.block_time,
        data_fee=row.data_fee or Wei(0),
    )


def _insert_attempt(connection: Connection, owner: int, attempt: Attempt, lease_epoch: int) -> None:
    connection.execute(
        _NEW_ATTEMPT,
        {
            "transaction_id": owner,
            "kind": attempt.kind,
            "hash": attempt.hash,
            "raw": attempt.raw,
            "max_fee": attempt.fees.max_fee,
            "priority_fee": attempt.fees.priority_fee,
            "gas_limit": attempt.gas_limit,
            "to_address": attempt.to or "",
            "calldata": attempt.calldata,
            "block_number": attempt.block_number,
            "route": ROUTE,
            "lease_epoch": lease_epoch,
            "state": attempt.state,
            "created_at": now(),
        },
    )


def _find_owner(connection: Connection, nonce: int) -> int:
    owner: int = connection.execute(
        select(transactions.c.id).where(transactions.c.lane == LANE, transactions.c.nonce == nonce)
    ).scalar_one()
    return owner


def _mark_orphaned(connection: Connection, owner: int) -> None:
    connection.execute(
        update(outcomes).where(outcomes.c.transaction_id == owner).values(state="orphaned")
    )
    bookings.orphan(connection, owner)


def _move(connection: Connection, owner: int, state: NonceState) -> None:
    connection.execute(update(transactions).where(transactions.c.id == owner).values(state=state))
    connection.execute(update(intents).where(intents.c.transaction_id == owner).values(state=state))
    connection.execute(update(intents).where(intents.c.transaction_id == owner).values(state=state))
