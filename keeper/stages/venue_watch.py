"""Watch over unreadable venues, which prevent all sales."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.errors import ChainError
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis
from keeper.domain.units import BlockHash
from keeper.ports import ExitVenue
from keeper.stages.venue_layer import VenueLayer

PATIENCE: Final = 2
"""Number of consecutive blocks of failures after which a venue is reported."""


@dataclass(slots=True)
class VenueWatch:
    """Blocks at which each venue could not be read, with the last reason."""

    _failed: dict[str, tuple[set[BlockHash], str]] = field(default_factory=dict)

    def over(self, venues: Sequence[ExitVenue]) -> list[ExitVenue]:
        """Wrap the venues to note the results of their reads."""
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
        """Describe the unreadable venues. Empty if all can be read."""
        return "; ".join(
            f"{name} cannot be read, so nothing can be sold there: {reason}"
            for name, (blocks, reason) in self._failed.items()
            if len(blocks) >= PATIENCE
        )


@dataclass(frozen=True, slots=True)
class WatchedVenue(VenueLayer):
    """Venue with noted read results, otherwise unchanged."""

    name: str
    watch: VenueWatch

    async def exits(self, pairs: Collection[Pair], basis: Basis) -> Exits:
        """Return the routes for the pairs, over exact curves of that block."""
        try:
            found = await self.venue.exits(pairs, basis)
        except ChainError as error:
            self.watch.note_failure(self.name, basis, error)
            raise
        self.watch.note_success(self.name)
        return found
