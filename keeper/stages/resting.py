"""Deciding with those left alone whose last transaction failed."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Rested:
    """
    The pipeline behind the accounts and markets that are to be left alone.

    What the operator's policy says of an account comes first.
    """

    decide: Restrained
    waits: Callable[[Head], Mapping[Subject, Wait]]
    market_waits: Callable[[Head], Mapping[MarketKey, Wait]]

    async def __call__(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: InFlight = frozenset(),
        *,
        restraint: Restraint = FREE,
    ) -> Decided:
        """Decide about every unhealthy account at one head but those."""
        markets = self.market_waits(head)
        waits = {
            **{
                (health.market, health.account): markets[health.market]
                for snapshot in snapshots
                if snapshot.market in markets
                for health in snapshot.accounts()
                if health.liquidatable
            },
            **self.waits(head),
        }
        if waits:
            restraint = replace(restraint, waits={**waits, **restraint.waits})
        return await self.decide(head, snapshots, in_flight, restraint=restraint)
