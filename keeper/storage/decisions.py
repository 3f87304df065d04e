"""What was decided and why: stored when it changes, with a digest of every block."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from keeper.domain.account import AccountHealth
from keeper.domain.decision import Decision, Liquidate
from keeper.domain.head import Head
from keeper.domain.units import Address, MarketKey, Wei
from keeper.storage.database import Database
from keeper.storage.documents import canonical
from keeper.storage.schema import decisions as decisions_table
from keeper.storage.schema import digests

Verdict = tuple[str, str, Wei | None]
"""Action, reason and net profit, as they were stored."""


def is_news(before: Verdict | None, now: Verdict) -> bool:
    """
    Whether an account's decision differs from what was stored of it last.

    Action and reason count; of the profit, that it left the band from half of what was
    stored to its double (so what trembles around any one number is stored once).
    """
    if before is None or before[:2] != now[:2]:
        return True
    was, profit = before[2], now[2]
    if was is None or profit is None:
        return was is not profit
    near = profit < 0 if was < 0 else profit >= 0
    return not (near and 2 * abs(profit) >= abs(was) and abs(profit) <= 2 * abs(was))


def profit_band(net_profit: Wei | None) -> int | None:
    """
    Return the power of two that the profit lies under, signed as the profit is.

    A band holds the profits from half of its power up to it; zero is its own.
    """
    if net_profit is None:
        return None
    return -abs(net_profit).bit_length() if net_profit < 0 else net_profit.bit_length()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """One change of mind about an account, as it was recorded."""

    block_number: int
    market: MarketKey
    action: str
    reason: str
    detail: str
    net_profit: Wei | None
    health_factor: int | None


def history(connection: Connection, account: Address) -> list[StoredDecision]:
    """Return what was recorded about an account, oldest first."""
    table = decisions_table
    rows = connection.execute(
        select(table).where(table.c.account == account).order_by(table.c.block_number, table.c.id)
    )
    return [
        StoredDecision(
            block_number=row.block_number,
            market=row.market,
            action=row.action,
            reason=row.reason,
            detail=row.detail,
            net_profit=row.net_profit,
            health_factor=row.health_factor,
        )
        for row in rows
    ]


class DecisionJournal:
    """The journal's decisions; permanent dust is one row, not one a block."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._last: dict[tuple[str, str], Verdict] = {}

    async def record(
        self,
        head: Head,
        decisions: Sequence[Decision],
        health: Mapping[tuple[MarketKey, Address], AccountHealth],
    ) -> None:
        """Store what changed since the last block, and the block's digest."""
        ordered = sorted(decisions, key=lambda one: (one.market, one.account))
        stored: dict[tuple[str, str], Verdict] = {}
        rows = []
        for one in ordered:
            key, verdict = (one.market, one.account), _verdict(one)
            before = self._last.get(key)
            if is_news(before, verdict):
                rows.append(_row(one, head, health.get(key)))
                before = verdict
            stored[key] = before or verdict
        await self._database.write(_stored, rows, _digest(head, ordered))
        self._last = stored


def _stored(
    connection: Connection, rows: Sequence[dict[str, object]], digest: dict[str, object]
) -> None:
    if rows:
        connection.execute(insert(decisions_table), rows)
    connection.execute(insert(digests).values(**digest))


def _verdict(decision: Decision) -> Verdict:
    action = "liquidate" if isinstance(decision, Liquidate) else "skip"
    return action, _reason(decision), _net_profit(decision)


def _reason(decision: Decision) -> str:
    return "profitable" if isinstance(decision, Liquidate) else str(decision.reason)


def _net_profit(decision: Decision) -> Wei | None:
    return decision.plan.net_profit if isinstance(decision, Liquidate) else decision.net_profit


def _row(decision: Decision, head: Head, health: AccountHealth | None) -> dict[str, object]:
    action, reason, net_profit = _verdict(decision)
    return {
        "block_number": head.number,
        "block_hash": head.hash,
        "market": decision.market,
        "account": decision.account,
        "action": action,
        "reason": reason,
        "detail": "" if isinstance(decision, Liquidate) else decision.detail,
        "net_profit": net_profit,
        "profit_band": profit_band(net_profit),
        "health_factor": None if health is None else health.health_factor,
        "document": canonical(decision),
    }


def _digest(head: Head, ordered: Sequence[Decision]) -> dict[str, object]:
    counts = Counter(_reason(one) for one in ordered)
    document = canonical([[_verdict(one)[0], one] for one in ordered])
    return {
        "block_number": head.number,
        "block_hash": head.hash,
        "counts": canonical(counts),
        "sha256": hashlib.sha256(document.encode()).hexdigest(),
    }
