"""Prefetches the data of a first liquidation while accounts approach liquidation."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Final

from keeper.domain.errors import ChainError
from keeper.domain.exits import Pair
from keeper.domain.exposure import Exposure
from keeper.domain.head import Basis, Head
from keeper.domain.parity import Subject
from keeper.domain.restraint import FREE, Restraint
from keeper.domain.units import WAD, Wad
from keeper.pipeline import Decided, InFlight
from keeper.ports import ExitVenue, FeeSource, MarketSnapshot
from keeper.stages.exit_reads import fetch_exits
from keeper.stages.gathering import Legs, healths
from keeper.stages.resting import Restrained

log = logging.getLogger(__name__)

NEAR: Final = Wad(WAD * 105 // 100)
"""Health factor below which an account is near liquidation."""
START: Final = Wad(WAD * 3 // 2)
"""The same at the first check, since a crash may leave no time for a later one."""
FIRST_SECONDS: Final = 1.0
"""How long the first block waits for it, so that a reported start is a warm one."""
LOOK_BLOCKS: Final = 8
"""Blocks between two checks of accounts near liquidation."""
MOST_ACCOUNTS: Final = 100
MOST_PAIRS: Final = 40
"""Highest numbers of accounts and token pairs prefetched at once."""


@dataclass(slots=True, kw_only=True)
class Warmed:
    """Planning with pools prefetched before an account becomes liquidatable.

    In blocks without a liquidatable account the pools for accounts near liquidation are read, each
    token pair once. ``refresh`` prefetches the other data of sending. All of it runs beside the
    block loop, except for the first time, and failed reads are repeated when needed.
    """

    decide: Restrained
    venues: Sequence[ExitVenue]
    fees: FeeSource
    refresh: Callable[[Head], Awaitable[None]]
    _pairs: set[Pair] = field(default_factory=set)
    _known: set[Subject] = field(default_factory=set)
    _looked_at: int = -LOOK_BLOCKS
    _is_first: bool = True
    _task: asyncio.Task[None] | None = None

    async def __call__(
        self,
        head: Head,
        snapshots: Sequence[MarketSnapshot],
        in_flight: InFlight = frozenset(),
        *,
        restraint: Restraint = FREE,
    ) -> Decided:
        """Plan all unhealthy accounts at one head."""
        result = await self.decide(head, snapshots, in_flight, restraint=restraint)
        is_idle = self._task is None or self._task.done()
        if is_idle and not result.health and head.number >= self._looked_at + LOOK_BLOCKS:
            self._looked_at = head.number
            self._task = asyncio.ensure_future(self._warm(head, snapshots))
            if self._is_first:
                await asyncio.wait({self._task}, timeout=FIRST_SECONDS)
        return result

    async def _warm(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        try:
            subjects, pairs = await self._find_new(snapshots)
            if pairs:
                await fetch_exits(self.venues, pairs, Basis(block_hash=head.hash))
                await self.fees.gas_price(head)
                self._pairs |= pairs
            self._known |= subjects
            self._is_first = False
            await self.refresh(head)
        except ChainError as error:
            log.debug("not_warmed block=%d code=%s reason=%s", head.number, error.code, error)

    async def _find_new(
        self, snapshots: Sequence[MarketSnapshot]
    ) -> tuple[set[Subject], set[Pair]]:
        """Return the accounts newly near liquidation, and their new token pairs."""
        near = await healths(snapshots, START if self._is_first else NEAR, ())
        self._known &= near.keys()
        new = [subject for subject in near if subject not in self._known][:MOST_ACCOUNTS]
        legs = await Legs().of(snapshots, new)
        return set(new), set(islice(_iterate_new_pairs(legs, self._pairs), MOST_PAIRS))


def _iterate_new_pairs(legs: Mapping[Subject, Exposure], known: set[Pair]) -> Iterator[Pair]:
    for exposure in legs.values():
        held = [leg.token for leg in exposure.legs if leg.collateral]
        owed = [leg.token for leg in exposure.legs if leg.debt]
        yield from (pair for pair in product(held, owed) if pair not in known)
