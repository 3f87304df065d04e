"""A dry run's submitter: no signer, no sender, a ledger of what would have been earned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from keeper.domain.head import Head
from keeper.domain.plan import Batch, News, Plan
from keeper.domain.units import Address, MarketKey
from keeper.execution.chain import Emit


class Ledger(Protocol):
    """Where a dry run books."""

    async def add(self, plans: Sequence[Plan], head: Head) -> None:
        """Keep the plans as if they had been executed."""
        ...


@dataclass(slots=True, kw_only=True)
class PaperSubmitter:
    """
    Books each plan once per episode.

    On the real chain nobody acts, so the account stays unhealthy: it counts as in
    flight until it is healthy again or ``forget_after_blocks`` have passed.
    """

    ledger: Ledger
    emit: Emit
    forget_after_blocks: int = 100
    _booked: dict[tuple[MarketKey, Address], int] = field(default_factory=dict)

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
        Book what the batches would have earned.

        Raises:
            JournalError: the ledger cannot be written.
        """
        plans = [plan for batch in batches for plan in batch.plans]
        await self.ledger.add(plans, head)
        for plan in plans:
            self._booked[plan.market, plan.account] = head.number
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
        """Forget the accounts that recovered, and those booked too long ago."""
        self._booked = {
            one: since
            for one, since in self._booked.items()
            if still_unhealthy(*one) and head.number - since < self.forget_after_blocks
        }
