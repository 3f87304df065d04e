"""A dry run's submitter: no signer, no sender, a ledger of what would have been earned."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from keeper.domain.head import Head
from keeper.domain.plan import Batch, News, Plan
from keeper.domain.units import Address, MarketKey
from keeper.execution.chain import Emit

OVERLAY_BLOCKS: Final = 3
"""Blocks for which the pools of a paper sale count as sold into; others restore them by then."""


class Ledger(Protocol):
    """Where a dry run books."""

    async def add(self, plans: Sequence[Plan], head: Head) -> None:
        """Keep the plans as if they had been executed."""
        ...


@dataclass(slots=True, kw_only=True)
class PaperSubmitter:
    """
    Books each plan once per breach.

    On the real chain nobody acts, so the account stays unhealthy: it counts as in
    flight until it is healthy again, or until ``forget_after_blocks`` have passed where that is
    set. What is sold on paper counts as sold for ``OVERLAY_BLOCKS``.
    """

    ledger: Ledger
    emit: Emit
    forget_after_blocks: int | None = None
    _sold: list[tuple[int, Plan]] = field(default_factory=list)
    _before: set[tuple[MarketKey, Address]] = field(default_factory=set)
    _booked: dict[tuple[MarketKey, Address], int] = field(default_factory=dict)

    def restore(self, booked: Collection[tuple[MarketKey, Address]]) -> None:
        """Plan accounts of earlier runs anew, but book none until it was seen healthy."""
        self._before.update(booked)

    def has_sold_before(self, head: Head) -> bool:
        """Whether a sale of an earlier block still counts."""
        return any(block < head.number for block, _ in self._sold)

    def sold(self) -> list[Plan]:
        """Return the plans whose sales still count, in their order."""
        return [plan for _, plan in self._sold]

    def in_flight(self) -> frozenset[tuple[MarketKey, Address]]:
        """Return the accounts that were booked and did not recover since."""
        return frozenset(self._booked)

    async def submit(
        self,
        batches: Sequence[Batch],
        head: Head,
        *,
        news: News | None = None,  # noqa: ARG002 (nobody is acted on, so the next block says it again)
    ) -> list[Batch]:
        """
        Book what the batches would have earned, but for breaches that an earlier run booked.

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
        """Forget the accounts that recovered, and the sales that others have made good by now."""
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
    """A ledger that knows what earlier runs booked."""

    async def booked(self) -> Collection[tuple[MarketKey, Address]]:
        """Return the accounts of all rows."""
        ...


async def resume_paper(ledger: KeptLedger, emit: Emit) -> PaperSubmitter:
    """
    Return a submitter that knows what earlier runs on the ledger booked.

    An account that was booked and is unhealthy at the start is taken for the same breach.
    """
    paper = PaperSubmitter(ledger=ledger, emit=emit)
    paper.restore(await ledger.booked())
    return paper
