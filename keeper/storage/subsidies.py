"""Recovery of subsidy reservations after a restart, reconciled with the signed transactions."""

from dataclasses import replace

from sqlalchemy import Connection, select, union_all

from keeper.domain.parity import Subject
from keeper.domain.units import Address, MarketKey
from keeper.margin.state import MarginState
from keeper.storage import episodes
from keeper.storage.schema import intents, paper, transactions


def taken_up(connection: Connection) -> MarginState:
    """Load the margin state, without reservations that no signed transaction used.

    Only the last block is in doubt. In earlier blocks unused reservations were already released.
    """
    state = episodes.state_of(connection)
    if not state.reservations:
        return state
    signed = _list_signed_since(connection, state.number)
    kept = tuple(
        one
        for one in state.reservations
        if one.block_number < state.number
        or (one.block_number, (one.market, one.account)) in signed
    )
    if len(kept) == len(state.reservations):
        return state
    state = replace(state, reservations=kept)
    episodes.keep_rest(connection, state)
    return state


def _list_signed_since(connection: Connection, number: int) -> frozenset[tuple[int, Subject]]:
    """Return the accounts with a signed or paper transaction since a block, by block."""
    bound = (
        select(transactions.c.block_number, intents.c.market, intents.c.borrower)
        .join(transactions, transactions.c.id == intents.c.transaction_id)
        .where(transactions.c.block_number >= number)
    )
    columns = (paper.c.block_number, paper.c.market, paper.c.account)
    rows = connection.execute(union_all(bound, select(*columns).where(columns[0] >= number)))
    return frozenset((block, (MarketKey(market), Address(who))) for block, market, who in rows)
