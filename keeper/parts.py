"""Interfaces of the node's stages (planning, margin calls, cures, limits)."""

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
    """The planning pipeline with its dependencies bound."""

    def __call__(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: InFlight,
        /,
        *,
        restraint: Restraint,
    ) -> Awaitable[Decided]:
        """Plan every liquidatable account at one head."""
        ...


class Calls(Protocol):
    """Margin calls. Policy restrictions of a block, and its notices."""

    async def restraint(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> Restraint:
        """Return the policy's waits and its order of accounts."""
        ...

    def basis(self, head: Head) -> Basis | None:
        """Return the inputs of that policy result. None if no account was liquidatable."""
        ...

    async def acting(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        subjects: Collection[Subject],
        losses: Mapping[Subject, int],
    ) -> News | None:
        """Return the facts of accounts to act on, which are stored with their nonces.

        ``losses`` are the most that liquidations may lose (1e-8 dollars). They are reserved first.
        """
        ...

    async def released(self, subjects: Sequence[Subject], head: Head) -> None:
        """Undo that for accounts with nothing sent at that block."""
        ...

    async def told(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Store the block's changes, then emit their notices."""
        ...


@runtime_checkable
class PreparesFacts(Protocol):
    """Margin calls that compute facts of acting accounts while the node is awaited."""

    async def prepare(
        self, head: Head, snapshots: Sequence[MarketSnapshot], subjects: Collection[Subject]
    ) -> None:
        """Compute the facts of accounts that are likely to be acted on."""
        ...


StandingOf = Callable[[Subject], tuple[str, int] | None]
"""The tier that an account's margin call is in, and the number of its episode."""


@runtime_checkable
class HoldsBack(Protocol):
    """A submitter with limits that may hold back batches."""

    @property
    def held(self) -> str:
        """The reason why a limit holds batches, or held some of the last ones.

        Empty if none does.
        """
        ...


class Cures(Protocol):
    """Plans the transactions that cure accounts with the operator's money."""

    async def batches(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: InFlight,
        standing_of: StandingOf,
    ) -> list[Batch]:
        """Return the block's cures. ChainError if the chain cannot be read."""
        ...

    def still_needs(self, health: AccountHealth) -> bool:
        """Return whether a cure in flight is still needed."""
        ...


class Clears(Protocol):
    """Plans the transactions that clear accounts which no sale pays for."""

    async def batches(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        decisions: Sequence[Decision] | None,
        restraint: Restraint,
    ) -> list[Batch]:
        """Return the block's clearings. With ``decisions`` None all are only reported."""
        ...
