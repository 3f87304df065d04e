"""Journal rows of one nonce for ``keeper tx show``."""

from typing import Any

from sqlalchemy import Connection, Row, select

from keeper.storage import bookings
from keeper.storage.schema import LANE, attempts, intents, outcomes, transactions

Told = dict[str, object]


def told(connection: Connection, nonce: int) -> dict[str, list[Told]]:
    """Return a nonce's intents, sends, receipts and bookings, each in order of creation.

    Receipts removed by a reorg and their bookings are ``orphaned``.
    """
    owner = connection.execute(
        select(transactions.c.id).where(transactions.c.lane == LANE, transactions.c.nonce == nonce)
    ).scalar_one()
    meant = select(intents).where(intents.c.transaction_id == owner)
    tried = select(attempts).where(attempts.c.transaction_id == owner)
    seen = select(outcomes).where(outcomes.c.transaction_id == owner)
    return {
        "intents": [
            _build_intent_row(row) for row in connection.execute(meant.order_by(intents.c.position))
        ],
        "sends": [
            _build_send_row(row) for row in connection.execute(tried.order_by(attempts.c.id))
        ],
        "receipts": [
            _build_receipt_row(row) for row in connection.execute(seen.order_by(outcomes.c.id))
        ],
        "booked": [_build_booking_row(row) for row in bookings.of(connection, owner)],
    }


def _build_intent_row(row: Row[Any]) -> Told:
    return {
        "market": row.market,
        "account": row.borrower,
        "spent": row.spent,
        "received": row.received,
        "round": row.round,
        "state": row.state,
    }


def _build_send_row(row: Row[Any]) -> Told:
    return {
        "hash": row.hash,
        "kind": row.kind,
        "state": row.state,
        "signed_at": row.created_at,
        "sent_at": row.sent_at,
        "answer": row.send_result,
    }


def _build_receipt_row(row: Row[Any]) -> Told:
    return {
        "hash": row.hash,
        "state": row.state,
        "success": bool(row.success),
        "block_number": row.block_number,
        "block_hash": row.block_hash,
        "gas_used": str(row.gas_used),
        "gas_price_wei": str(row.effective_gas_price),
        "data_fee_wei": str(row.data_fee or 0),
        "seen_at": row.created_at,
    }


def _build_booking_row(row: Row[Any]) -> Told:
    return {
        "state": row.state,
        "hash": row.hash,
        "log_index": row.log_index,
        "block_number": row.block_number,
        "market": row.market,
        "account": row.account,
        "token": row.token,
        "profit": str(row.profit),
        "profit_wei": str(row.profit_wei),
    }
