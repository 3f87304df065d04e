"""Deciding with those left alone whose last transaction failed."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.restraint import FREE, Restraint, Wait
from keeper.domain.units import MarketKey
from keeper.pipeline import Decided, InFlight
from keeper.ports import MarketSnapshot


class Restrained(Protocol):
    """The pipeline, with what it needs bound to it."""

    def __call__(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: InFlight = ...,
        *,
        restraint: Restraint = ...,
    ) -> Awaitable[Decided]:
        """Decide about every unhealthy account at one head."""
        ...


class Cools(Protocol):
    """Remembers who failed on chain."""

    def waits(self, head: Head) -> Mapping[Subject, Wait]:
        """Return who is to be left alone at a block."""
        ...

    def market_waits(self, head: Head) -> Mapping[MarketKey, Wait]:
        """Return the isolated markets that are to be left alone at a block."""
        ...

    def doubted(self, head: Head) -> Sequence[Subject]:
        """Return whose market is to be asked whether it stands by what its block said."""
        ...

    def settle(self, subject: Subject, *, lies: bool) -> None:
        """Settle such a doubt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rested:
    """
    The pipeline behind the accounts and markets that are to be left alone.

    What the operator's policy says of an account comes first.
    """

    decide: Restrained
    cooling: Cools

    async def __call__(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: InFlight = frozenset(),
        *,
        restraint: Restraint = FREE,
    ) -> Decided:
        """Decide about every unhealthy account at one head but those."""
        self._settle_doubts(head, snapshots)
        markets = self.cooling.market_waits(head)
        waits = {
            **{
                (health.market, health.account): markets[health.market]
                for snapshot in snapshots
                if snapshot.market in markets
                for health in snapshot.accounts()
                if health.liquidatable
            },
            **self.cooling.waits(head),
        }
        if waits:
            restraint = replace(restraint, waits={**waits, **restraint.waits})
        return await self.decide(head, snapshots, in_flight, restraint=restraint)

    def _settle_doubts(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Hold what a block said of an account against what its market says now."""
        read = {snapshot.market: snapshot for snapshot in snapshots}
        for market, account in self.cooling.doubted(head):
            snapshot = read.get(market)
            health = None if snapshot is None else snapshot.account(account)
            lies = health is not None and health.liquidatable
            self.cooling.settle((market, account), lies=lies)
