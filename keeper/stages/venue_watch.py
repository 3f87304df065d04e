"""Venues that cannot be read: without them nothing can be sold, whatever else works."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.curve import Route
from keeper.domain.errors import ChainError
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis
from keeper.domain.units import Address, BlockHash, TokenUnits
from keeper.ports import ExitVenue

PATIENCE: Final = 2
"""At so many blocks, one after the other, a venue must have failed before it is a concern."""


@dataclass(slots=True)
class VenueWatch:
    """Remembers at which blocks each venue could not be read, and why not last."""

    _failed: dict[str, tuple[set[BlockHash], str]] = field(default_factory=dict)

    def over(self, venues: Sequence[ExitVenue]) -> list[ExitVenue]:
        """Return the venues, each of whose reads is noted."""
        return [
            WatchedVenue(venue, f"{venue.kind}[{place}]", self)
            for place, venue in enumerate(venues)
        ]

    def note_failure(self, name: str, basis: Basis, error: ChainError) -> None:
        """Note that a venue could not be read at a block."""
        blocks, _ = self._failed.get(name, (set[BlockHash](), ""))
        self._failed[name] = (
            {*blocks, basis.block_hash} if len(blocks) < PATIENCE else blocks,
            str(error),
        )

    def note_success(self, name: str) -> None:
        """Note that a venue was read."""
        self._failed.pop(name, None)

    def concern(self) -> str:
        """Return which venues cannot be read, and why; empty where all can."""
        return "; ".join(
            f"{name} cannot be read, so nothing can be sold there: {reason}"
            for name, (blocks, reason) in self._failed.items()
            if len(blocks) >= PATIENCE
        )


@dataclass(frozen=True, slots=True)
class WatchedVenue:
    """A venue whose reads are noted; they are as they were."""

    venue: ExitVenue
    name: str
    watch: VenueWatch

    @property
    def kind(self) -> str:
        """The venue's name in the settings."""
        return self.venue.kind

    async def exits(self, pairs: Collection[Pair], basis: Basis) -> Exits:
        """Return the routes for the pairs, over exact curves of that block."""
        try:
            found = await self.venue.exits(pairs, basis)
        except ChainError as error:
            self.watch.note_failure(self.name, basis, error)
            raise
        self.watch.note_success(self.name)
        return found

    async def wrapped_native(self) -> Address:
        """Return the wrapped native coin that the venue was made for."""
        return await self.venue.wrapped_native()

    async def confirmed(self, route: Route, amount_in: TokenUnits, basis: Basis) -> TokenUnits:
        """Return what the venue itself says that the sale brings."""
        return await self.venue.confirmed(route, amount_in, basis)
