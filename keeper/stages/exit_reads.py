"""Exit reads of all venues at one block. An unreadable venue does not affect the others."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from keeper.domain.curve import ExitCurve, Route
from keeper.domain.errors import BlockUnknown, ChainError, RpcMalformed, RpcRefused
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis
from keeper.domain.opportunity import FlashLender
from keeper.domain.units import Address
from keeper.ports import ExitVenue

log = logging.getLogger(__name__)

VENUE_PAUSES: Final = (0.0, 0.025, 0.05)
"""Seconds before each attempt to read a venue, for temporary failures."""


async def fetch_exits(venues: Sequence[ExitVenue], pairs: set[Pair], basis: Basis) -> Exits:
    """Fetch all venues' routes, curves and lenders, merged."""
    found = await asyncio.gather(*(_fetch_exits_of(venue, pairs, basis) for venue in venues))
    routes: dict[Pair, tuple[Route, ...]] = {}
    curves: dict[Address, ExitCurve] = {}
    lenders: dict[Address, tuple[FlashLender, ...]] = {}
    factories: dict[Address, Address] = {}
    for one in found:
        curves.update(one.curves)
        factories.update(one.factories)
        for pair, ways in one.routes.items():
            routes[pair] = routes.get(pair, ()) + ways
        for token, pools in one.lenders.items():
            lenders[token] = lenders.get(token, ()) + pools
    return Exits(routes=routes, curves=curves, lenders=lenders, factories=factories)


async def _fetch_exits_of(venue: ExitVenue, pairs: set[Pair], basis: Basis) -> Exits:
    """Fetch one venue's exits. Empty, with a warning, if it remains unreadable."""
    reason: ChainError | None = None
    for pause in VENUE_PAUSES:
        if reason is not None:
            await asyncio.sleep(pause)
        try:
            return await venue.exits(pairs, basis)
        except (BlockUnknown, RpcRefused, RpcMalformed) as error:
            reason = error
    code = "" if reason is None else reason.code
    log.warning("venue_unreadable kind=%s code=%s reason=%s", venue.kind, code, reason)
    return Exits(routes={}, curves={}, lenders={})
