"""What the node is put together from, as it sees it: deciding, margin calls, cures, limits."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

from keeper.audit.basis import Basis
from keeper.domain.account import AccountHealth
from keeper.domain.decision import Decision
from keeper.domain.head import Head
from keeper.domain.parity import Subject
from keeper.domain.plan import Batch, News
from keeper.domain.restraint import Restraint
from keeper.pipeline import Decided, InFlight
from keeper.ports import MarketSnapshot


class Decide(Protocol):
    """The pipeline, with what it needs bound to it."""

    def __call__(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: InFlight,
        /,
        *,
        restraint: Restraint,
    ) -> Awaitable[Decided]:
        """Decide about every unhealthy account at one head."""
        ...


class Calls(Protocol):
    """Margin calls: who waits at a block, and who is told of it."""

    async def restraint(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> Restraint:
        """Return whom the policy lets wait, and who comes first."""
        ...

    def basis(self, head: Head) -> Basis | None:
        """Return what that was reckoned from; None where nobody was past the line."""
        ...

    async def acting(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        subjects: Collection[Subject],
        losses: Mapping[Subject, int],
    ) -> News | None:
        """
        Return the news of those who are acted on, to be kept with the nonces that do it.

        ``losses`` is what liquidations may lose (1e-8 dollars): it is kept before.
        """
        ...

    async def released(self, subjects: Sequence[Subject], head: Head) -> None:
        """Take that back for those that were not sent at that block."""
        ...

    async def told(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Keep what a block changed, then tell it."""
        ...


StandingOf = Callable[[Subject], tuple[str, int] | None]
"""The tier that an account's margin call is in, and the number of its episode."""


@runtime_checkable
class HoldsBack(Protocol):
    """A submitter whose limits may hold back what was decided."""

    @property
    def held(self) -> str:
        """Why a limit holds batches, or held some of the last ones; empty where none does."""
        ...


class Cures(Protocol):
    """Makes the transactions that cure accounts with the operator's money."""

    async def batches(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: InFlight,
        standing_of: StandingOf,
    ) -> list[Batch]:
        """Return the block's cures; ChainError where the chain cannot be read."""
        ...

    def still_needs(self, health: AccountHealth) -> bool:
        """Whether a cure that is on its way still is one."""
        ...


class Clears(Protocol):
    """Makes the transactions that clear accounts which no sale pays for."""

    async def batches(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        decisions: Sequence[Decision] | None,
        restraint: Restraint,
    ) -> list[Batch]:
        """Return the block's clearings; ``decisions`` None: nobody plans, all are told of."""
        ...
