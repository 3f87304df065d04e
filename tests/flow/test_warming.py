"""Pools are looked up while accounts only come near the line, each pair of tokens once."""

import asyncio
from dataclasses import dataclass, field, replace

from keeper.domain.account import AccountHealth
from keeper.domain.errors import RpcUnavailable
from keeper.domain.exposure import Exposure, ExposureLeg
from keeper.domain.units import WAD
from keeper.pipeline import Decided
from keeper.stages.warming import LOOK_BLOCKS, Warmed
from tests.flow.scripted_market import HEAD, MARKET, ScriptedFees, ScriptedVenue, account
from tests.unit.strategy.market import USDC, WETH


@dataclass
class NearSnapshot:
    """A market of accounts with their health factors; each holds WETH and owes USDC."""

    factors: dict
    market: str = MARKET
    head: object = HEAD

    def accounts(self):
        return [self.account(whose) for whose in self.factors]

    def account(self, whose):
        factor = self.factors[whose]
        return AccountHealth(
            market=self.market,
            account=whose,
            health_factor=factor,
            collateral_base=1,
            debt_base=1,
            liquidatable=factor < WAD,
        )

    def exposure(self, whose):
        del whose
        legs = ((WETH, 2, 0), (USDC, 0, 1))
        return Exposure(
            legs=tuple(
                ExposureLeg(token=token, symbol="", collateral=held, debt=owed, weight=1, bonus=1)
                for token, held, owed in legs
            )
        )


@dataclass
class Quiet:
    """A pipeline that finds nobody past the line, or those that ``health`` names."""

    health: dict = field(default_factory=dict)

    async def __call__(self, head, snapshots, in_flight=frozenset(), *, restraint=None):
        return Decided(head=head, health=self.health)


@dataclass
class World:
    venue: ScriptedVenue = field(default_factory=ScriptedVenue)
    fees: ScriptedFees = field(default_factory=ScriptedFees)
    refreshed: list = field(default_factory=list)
    decide: Quiet = field(default_factory=Quiet)

    def __post_init__(self):
        self.warmed = Warmed(
            decide=self.decide, venues=[self.venue], fees=self.fees, refresh=self.refresh
        )

    async def refresh(self, head):
        self.refreshed.append(head.number)

    async def block(self, number, *snapshots):
        head = replace(HEAD, number=number, hash="0x" + f"{number:064x}")
        await self.warmed(head, [replace(one, head=head) for one in snapshots])
        for _ in range(10):
            await asyncio.sleep(0)


NEAR = NearSnapshot({account(1): WAD * 102 // 100, account(2): WAD * 103 // 100})
FAR = NearSnapshot({account(1): WAD * 2})


async def test_pools_are_read_before_an_account_crosses_the_line():
    """The first liquidation after a start then waits for no directory, tier or code."""
    world = World()

    await world.block(1, NEAR)

    assert [pairs for pairs, _ in world.venue.asked] == [{(WETH, USDC)}]
    assert world.fees.asked == 1
    assert world.refreshed == [1]


async def test_each_pair_is_looked_up_once_and_not_in_every_block():
    """A quiet block costs what it did."""
    world = World()
    for number in range(1, 4 * LOOK_BLOCKS):
        await world.block(number, NEAR)

    assert len(world.venue.asked) == 1
    assert world.refreshed == [1, 1 + LOOK_BLOCKS, 1 + 2 * LOOK_BLOCKS, 1 + 3 * LOOK_BLOCKS]


async def test_nothing_is_looked_up_for_accounts_far_from_the_line():
    """Nor while something is decided about others: that needs the endpoint."""
    far, busy = World(), World(decide=Quiet(health={(MARKET, account(1)): object()}))

    await far.block(1, FAR)
    await busy.block(1, NEAR)

    assert not far.venue.asked
    assert not busy.venue.asked
    assert not busy.refreshed


async def test_what_fails_is_looked_up_again():
    """An endpoint that is away for a moment stops nothing."""
    world = World(venue=ScriptedVenue(answer=RpcUnavailable("no answer")))

    await world.block(1, NEAR)
    world.venue.answer = ScriptedVenue().answer
    await world.block(1 + LOOK_BLOCKS, NEAR)

    assert len(world.venue.asked) == 2
    assert world.refreshed == [1 + LOOK_BLOCKS]
