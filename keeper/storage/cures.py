"""Query for earlier cures of an account in an episode."""

import json

from sqlalchemy import Connection, select

from keeper.domain.parity import Subject
from keeper.domain.submission import NonceState
from keeper.domain.units import Address
from keeper.storage.documents import outcomes_from
from keeper.storage.schema import intents, outcomes

_MINED = (NonceState.INCLUDED, NonceState.FINAL)


def was_cured(connection: Connection, vault: Address, subject: Subject, episode: int) -> bool:
    """Whether a cure of this episode is in flight or has succeeded.

    A failed or cancelled cure may be tried again.
    """
    market, account = subject
    rows = connection.execute(
        select(intents.c.transaction_id, intents.c.state, intents.c.plan).where(
            intents.c.market == market,
            intents.c.borrower == account,
            intents.c.received == vault,
        )
    ).all()
    return any(
        row.state == NonceState.BOUND or _has_succeeded(connection, row.transaction_id)
        for row in rows
        if int(json.loads(row.plan)["episode"]) == episode
    )


def _has_succeeded(connection: Connection, owner: int) -> bool:
    found = connection.execute(
        select(outcomes.c.success, outcomes.c.plans).where(
            outcomes.c.transaction_id == owner, outcomes.c.state.in_(_MINED)
        )
    ).all()
    return any(
        row.success and (plans := outcomes_from(row.plans)) and not any(p.failure for p in plans)
        for row in found
    )
