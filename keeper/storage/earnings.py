"""Queries for earnings of mined transactions and of a dry run's paper ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from keeper.audit.earnings import Deal, deals_of, deed_of
from keeper.domain.submission import NonceState, Submission
from keeper.domain.units import Timestamp, Wei
from keeper.storage.documents import plan_from
from keeper.storage.schema import LANE, entries, outcomes, paper, transactions
from keeper.storage.submissions import submissions_in


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """Earnings since a time, with the number of nonces that are not mined.

    ``submissions`` are those of the deals, empty for a dry run.
    """

    deals: Sequence[Deal]
    submissions: Sequence[Submission] = ()
    pending: int = 0


def booked(connection: Connection, since: Timestamp) -> Booked:
    """Load a live journal's earnings. Receipts removed by a reorg do not count."""
    mined = submissions_in(connection, (NonceState.INCLUDED, NonceState.FINAL))
    seen = {
        row.hash: row.created_at
        for row in connection.execute(select(outcomes.c.hash, outcomes.c.created_at))
    }

    def time_of(one: Submission) -> Timestamp:
        stated = None if one.inclusion is None else one.inclusion.timestamp
        if stated or one.inclusion is None:
            return stated or Timestamp(0)
        kept = datetime.fromisoformat(seen[one.inclusion.hash])  # before the block time was stored
        return Timestamp(int(kept.timestamp()))

    chosen = [one for one in mined if time_of(one) >= since]
    waiting = select(func.count()).where(
        transactions.c.lane == LANE, transactions.c.state == NonceState.BOUND
    )
    return Booked(
        deals=deals_of(chosen, time_of),
        submissions=chosen,
        pending=connection.execute(waiting).scalar_one(),
    )


def on_paper(connection: Connection, since: Timestamp) -> Booked:
    """Load a dry run's expected earnings, one deal per ledger row."""
    times = (
        select(func.max(entries.c.block_time))
        .where(entries.c.block_number == paper.c.block_number)
        .scalar_subquery()
    )
    found = list[Deal]()
    for row in connection.execute(select(paper, times.label("at")).order_by(paper.c.id)):
        plan = plan_from(row.plan)
        when = Timestamp(row.at or 0)
        if when < since:
            continue
        gas = row.gas * row.gas_price + plan.data_fee
        bid = max(0, plan.gross_profit_wei - gas - row.net_profit)
        found.append(
            Deal(
                deed=deed_of(plan),
                hash="",
                block_number=row.block_number,
                timestamp=when,
                market=plan.market,
                account=plan.account,
                token=plan.spend_token,
                profit=plan.gross_profit,
                profit_wei=Wei(plan.gross_profit_wei - bid),
                predicted_wei=row.net_profit,
                gas_wei=Wei(gas),
                native_usd_e8=plan.native_usd_e8,
                bid_wei=Wei(bid),
            )
        )
    return Booked(deals=found)
