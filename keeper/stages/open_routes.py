"""Venues without the routes in cooldown."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from keeper.domain.curve import Route
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis
from keeper.ports import ExitVenue
from keeper.stages.venue_layer import VenueLayer


def open_venues(venues: Sequence[ExitVenue], barred: Callable[[Route], bool]) -> list[ExitVenue]:
    """Build the venues without their barred routes."""
    return [OpenRoutes(venue, barred) for venue in venues]


@dataclass(frozen=True, slots=True)
class OpenRoutes(VenueLayer):
    """Venue without its ``barred`` routes, otherwise unchanged."""

    barred: Callable[[Route], bool]

    async def exits(self, pairs: Collection[Pair], basis: Basis) -> Exits:
        """Return the open routes for the pairs, over exact curves of that block."""
        found = await self.venue.exits(pairs, basis)
        routes = {
            pair: tuple(route for route in ways if not self.barred(route))
            for pair, ways in found.routes.items()
        }
        return replace(found, routes=routes)
