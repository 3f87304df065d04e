"""Planning without the accounts in cooldown."""

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
    """The planning function, with its context bound."""

    def __call__(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: InFlight = ...,
        *,
        restraint: Restraint = ...,
    ) -> Awaitable[Decided]:
        """Plan all unhealthy accounts at one head."""
        ...


class Cools(Protocol):
    """Cooldowns after failures on chain."""

    def waits(self, head: Head) -> Mapping[Subject, Wait]:
        """Return the accounts in cooldown at a block."""
        ...

    def market_waits(self, head: Head) -> Mapping[MarketKey, Wait]:
        """Return the isolated markets in cooldown at a block."""
        ...

    def doubted(self, head: Head) -> Sequence[Subject]:
        """Return the doubted accounts to check in their markets."""
        ...

    def settle(self, subject: Subject, *, lies: bool) -> None:
        """Settle a doubt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Rested:
    """Planning without the accounts and markets in cooldown.

    The operator's policy takes precedence over the cooldown.
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
        """Plan all unhealthy accounts at one head except the ones in cooldown."""
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
        """Compare a block's result of an account with its market's present answer."""
        read = {snapshot.market: snapshot for snapshot in snapshots}
        for market, account in self.cooling.doubted(head):
            snapshot = read.get(market)
            health = None if snapshot is None else snapshot.account(account)
            lies = health is not None and health.liquidatable
            self.cooling.settle((market, account), lies=lies)
