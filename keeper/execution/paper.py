"""Dry run's submitter, which books plans in a ledger and never signs or sends."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from keeper.domain.head import Head
from keeper.domain.plan import Batch, News, Plan
from keeper.domain.units import Address, MarketKey
from keeper.execution.chain import Emit

OVERLAY_BLOCKS: Final = 3
"""Blocks for which a paper sale reduces its pools' depth. Arbitrage restores it by then."""


class Ledger(Protocol):
    """Ledger of a dry run."""

    async def add(self, plans: Sequence[Plan], head: Head) -> None:
        """Book the plans as executed."""
        ...


@dataclass(slots=True, kw_only=True)
class PaperSubmitter:
    """Books each plan once per breach of the health factor.

    The account stays liquidatable on the real chain. It counts as in flight until it is healthy
    again, or until ``forget_after_blocks`` have passed if that is set. A paper sale counts as sold
    for ``OVERLAY_BLOCKS``.
    """

    ledger: Ledger
    emit: Emit
    forget_after_blocks: int | None = None
    _sold: list[tuple[int, Plan]] = field(default_factory=list)
    _before: set[tuple[MarketKey, Address]] = field(default_factory=set)
    _booked: dict[tuple[MarketKey, Address], int] = field(default_factory=dict)

    def restore(self, booked: Collection[tuple[MarketKey, Address]]) -> None:
        """Restore the accounts booked by earlier runs. They are booked again once seen healthy."""
        self._before.update(booked)

    def has_sold_before(self, head: Head) -> bool:
        """Return whether a sale of an earlier block still counts."""
        return any(block < head.number for block, _ in self._sold)

    def sold(self) -> list[Plan]:
        """Return the plans with sales that still count, in their order."""
        return [plan for _, plan in self._sold]

    def in_flight(self) -> frozenset[tuple[MarketKey, Address]]:
        """Return the accounts that were booked and have not recovered."""
        return frozenset(self._booked)

    async def submit(
        self,
        batches: Sequence[Batch],
        head: Head,
        *,
        news: News | None = None,  # noqa: ARG002 (no action, so the next block repeats them)
    ) -> list[Batch]:
        """Book the batches' expected profit, except for breaches that an earlier run booked.

        Raises:
            JournalError: the ledger cannot be written.
        """
        plans = [plan for batch in batches for plan in batch.plans]
        fresh = [plan for plan in plans if (plan.market, plan.account) not in self._before]
        await self.ledger.add(fresh, head)
        self._sold += [(head.number, plan) for plan in plans]
        self._booked.update({(plan.market, plan.account): head.number for plan in plans})
        for plan in fresh:
            self.emit(
                {
                    "event": "paper",
                    "market": plan.market,
                    "account": plan.account,
                    "net_profit_wei": str(plan.net_profit),
                    "gas": str(plan.gas),
                    "gas_price_wei": str(plan.gas_price),
                    "block_number": head.number,
                    "block_hash": head.hash,
                }
            )
        return list(batches)

    async def follow(
        self, head: Head, still_unhealthy: Callable[[MarketKey, Address], bool]
    ) -> None:
        """Forget recovered accounts, and sales older than ``OVERLAY_BLOCKS``."""
        self._sold = [
            (block, plan) for block, plan in self._sold if head.number - block <= OVERLAY_BLOCKS
        ]
        self._before = {subject for subject in self._before if still_unhealthy(*subject)}
        limit = self.forget_after_blocks
        self._booked = {
            subject: since
            for subject, since in self._booked.items()
            if still_unhealthy(*subject) and (limit is None or head.number - since < limit)
        }


class KeptLedger(Ledger, Protocol):
    """A ledger that lists the accounts booked by earlier runs."""

    async def booked(self) -> Collection[tuple[MarketKey, Address]]:
        """Return the accounts of all rows."""
        ...


async def resume_paper(ledger: KeptLedger, emit: Emit) -> PaperSubmitter:
    """Build a submitter with the bookings of earlier runs restored.

    A booked account that is liquidatable at the start counts as the same breach.
    """
    paper = PaperSubmitter(ledger=ledger, emit=emit)
    paper.restore(await ledger.booked())
    return paper
