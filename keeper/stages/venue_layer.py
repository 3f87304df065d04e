"""Venue wrapper that forwards all reads except the overridden ones."""

from collections.abc import Collection
from dataclasses import dataclass

from keeper.domain.curve import Route
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis
from keeper.domain.units import Address, TokenUnits
from keeper.ports import ExitVenue


@dataclass(frozen=True, slots=True)
class VenueLayer:
    """``ExitVenue`` over another one. A subclass overrides ``exits``."""

    venue: ExitVenue

    @property
    def kind(self) -> str:
        """The venue's name in the settings."""
        return self.venue.kind

    async def exits(self, pairs: Collection[Pair], basis: Basis) -> Exits:
        """Return the routes for the pairs, over exact curves of that block."""
        return await self.venue.exits(pairs, basis)

    async def wrapped_native(self) -> Address:
        """Return the wrapped native coin of the venue's deployment."""
        return await self.venue.wrapped_native()

    async def confirmed(self, route: Route, amount_in: TokenUnits, basis: Basis) -> TokenUnits:
        """Return the proceeds by the venue's own quoter."""
        return await self.venue.confirmed(route, amount_in, basis)
