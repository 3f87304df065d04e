"""A venue that cannot be read is a concern of readiness: nothing can be sold there."""

from dataclasses import dataclass, field

import pytest

from keeper.domain.errors import BlockUnknown
from keeper.domain.head import Basis
from keeper.stages.venue_watch import VenueWatch
from tests.flow.scripted_market import ScriptedVenue

NULL = BlockUnknown("the node answered eth_call with null")


@dataclass
class World:
    venue: ScriptedVenue = field(default_factory=ScriptedVenue)
    watch: VenueWatch = field(default_factory=VenueWatch)

    async def block(self, number, *, fails):
        """Read the venue at a block, as often as the keeper tries."""
        (watched,) = self.watch.over([self.venue])
        self.venue.answer = NULL if fails else ScriptedVenue().answer
        for _ in range(3 if fails else 1):
            if fails:
                with pytest.raises(BlockUnknown):
                    await watched.exits(set(), Basis(block_hash=f"0x{number:064x}"))
            else:
                await watched.exits(set(), Basis(block_hash=f"0x{number:064x}"))


async def test_a_venue_that_fails_at_two_blocks_is_named_with_the_method():
    """Within two blocks `/readyz` says why nothing is sent."""
    world = World()

    await world.block(1, fails=True)
    assert world.watch.concern() == ""
    await world.block(2, fails=True)

    assert world.watch.concern() == (
        "uniswap_v3[0] cannot be read, so nothing can be sold there: "
        "the node answered eth_call with null"
    )


async def test_a_venue_that_is_read_again_is_no_concern():
    """One answer ends it, and a later failure begins anew."""
    world = World()
    for number, fails in ((1, True), (2, True), (3, False), (4, True)):
        await world.block(number, fails=fails)

    assert world.watch.concern() == ""
