"""Paper ledger of a dry run's expected profits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from keeper.domain.head import Head
from keeper.domain.plan import Plan
from keeper.domain.units import Address, MarketKey, Wei
from keeper.storage.database import Database
from keeper.storage.documents import plan_document, plan_from
from keeper.storage.schema import paper


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTotals:
    """Sums of the ledger, with net profit and gas in wei."""

    liquidations: int
    cures: int
    net_profit: Wei
    gas_cost: Wei


class PaperLedger:
    """Expected profits, one row per plan and episode."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, plans: Sequence[Plan], head: Head) -> None:
        """Persist the plans as if executed."""
        await self._database.write(_insert_plans, plans, head)

    async def booked(self) -> frozenset[tuple[MarketKey, Address]]:
        """Return the accounts of all rows."""
        return await self._database.write(_select_booked)

    async def totals(self) -> PaperTotals:
        """Return the sums."""
        return await self._database.write(paper_totals)


def paper_totals(connection: Connection) -> PaperTotals:
    """Return the ledger's exact sums."""
    columns = (paper.c.net_profit, paper.c.gas, paper.c.gas_price, paper.c.plan)
    rows = connection.execute(select(*columns)).all()
    cures = sum(plan_from(row.plan).is_cure for row in rows)
    return PaperTotals(
        liquidations=len(rows) - cures,
        cures=cures,
        net_profit=Wei(sum(row.net_profit for row in rows)),
        gas_cost=Wei(sum(row.gas * row.gas_price for row in rows)),
    )


def _select_booked(connection: Connection) -> frozenset[tuple[MarketKey, Address]]:
    rows = connection.execute(select(paper.c.market, paper.c.account).distinct()).all()
    return frozenset((MarketKey(market), Address(account)) for market, account in rows)


def _insert_plans(connection: Connection, plans: Sequence[Plan], head: Head) -> None:
    for plan in plans:
        connection.execute(
            insert(paper).values(
                block_number=head.number,
                block_hash=head.hash,
                market=plan.market,
                account=plan.account,
                net_profit=plan.net_profit,
                gas=plan.gas,
                gas_price=plan.gas_price,
                plan=plan_document(plan),
            )
        )


async def tell_totals(ledger: PaperLedger, emit: Callable[[dict[str, object]], None]) -> None:
    """Emit the expected profits of all dry runs on this ledger."""
    totals = await ledger.totals()
    emit(
        {
            "event": "paper_total",
            "liquidations": totals.liquidations,
            "cures": totals.cures,
            "net_profit_wei": str(totals.net_profit),
            "gas_cost_wei": str(totals.gas_cost),
        }
    )
