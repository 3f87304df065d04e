"""
F26: feeds that lie, as the market's own price sources, read by the real adapter.

Real aggregators where they can be made to; a feed of ours for what Chainlink's refuse to say.
"""

from dataclasses import replace

import pytest

from keeper.chain.reader import connect
from keeper.config.margin import Second
from keeper.devnet.artifacts import Deployer
from keeper.devnet.feeds import own_contracts
from keeper.domain.head import Basis
from keeper.margin.facts import MarketFacts
from keeper.margin.oracle import suspicions
from keeper.margin.settings import OracleRules
from keeper.protocols.aave_v3.adapter import Options, build
from keeper.stages.secondsources import SecondSources

USD = 10**8
PRICE = 3_000 * USD
DAY = 86_400
ANSWERS, REVERTS, BURNS = 0, 1, 2


class World:
    """A market whose price of ether comes from where the test says."""

    def __init__(self, devnet, reader):
        self.devnet, self.reader, self.node = devnet, reader, devnet.node
        self.weth = devnet.tokens["WETH"].address
        self.market = None

    async def discover(self):
        provider = self.devnet.aave.provider.address
        self.market = build(Options(addresses_provider=provider), from_block=0, reader=self.reader)
        await self.market.discover(await self.reader.head())

    async def snapshot(self, rider=None):
        head = await self.reader.head()
        calls = list(self.market.calls(head))
        along = [] if rider is None else list(rider.calls(head))
        results = await self.reader.aggregate([*calls, *along], Basis(block_hash=head.hash))
        if rider is not None:
            rider.apply(head, results[len(calls) :])
        (found,) = self.market.apply(head, results[: len(calls)])
        return found

    async def checks(self, medians=None, rules=None):
        """What is wrong with the price of ether, as the rules see it."""
        found = await self.snapshot()
        stated = MarketFacts(readings=tuple(found.readings()))
        wrong = suspicions(rules or OracleRules(), stated, medians or {}, found.head.timestamp)
        return [str(one.check) for one in wrong if one.token == self.weth]

    def source(self, feed):
        """Make a feed the market's source of the price of ether."""
        self.devnet.aave.oracle.send("setAssetSources", [self.weth], [feed.address])

    def wild(self, decimals=8):
        deployer = Deployer(self.node, self.devnet.accounts.admin)
        return deployer.deploy(own_contracts()["WildFeed"], decimals, PRICE)


@pytest.fixture
async def world(aave36):
    async with connect([f"http://127.0.0.1:{aave36.node.port}"]) as reader:
        made = World(aave36, reader)
        await made.discover()
        yield made


async def test_a_real_feed_states_round_age_and_bounds(world):
    """What Chainlink's contracts say is what the checks and the record go by."""
    found = await world.snapshot()
    reading = next(one for one in found.readings() if one.token == world.weth)
    feed = world.devnet.feeds["WETH"]

    assert reading.feed == feed.source.address
    assert (reading.round.round_id, reading.round.answer) == ((1 << 64) + 1, PRICE)
    assert (reading.minimum, reading.maximum) == (1, 10**27)
    assert (reading.decimals, reading.expected_decimals) == (8, 8)
    assert await world.checks() == []


async def test_a_real_feed_that_grows_old_is_stale(world):
    """A day and an hour without an answer; one answer, and it is well again."""
    found = await world.snapshot()
    reading = next(one for one in found.readings() if one.token == world.weth)
    age = found.head.timestamp - reading.round.updated_at

    world.node.pass_time(DAY + 3_600 - age)
    assert await world.checks() == []
    world.node.pass_time(1)
    assert await world.checks() == ["stale"]

    world.devnet.set_prices({"WETH": PRICE}, leave_pools=True)
    assert await world.checks() == []


@pytest.mark.parametrize("answer", [1, 10**27], ids=("least", "most"))
async def test_a_real_aggregator_at_its_bound(world, answer):
    """The price may be anything beyond: the aggregator cannot say it."""
    aggregator = world.devnet.feeds["WETH"].aggregator
    aggregator.send("submit", 2, answer)

    assert await world.checks() == ["at_bound"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"answer": 0}, ["not_positive"]),
        ({"answer": -1}, ["not_positive"]),
        ({"answer": 2**255 - 1}, ["jump"]),
        ({"answer": PRICE // 2_000}, ["jump"]),
        ({"answered_in": 1}, ["incomplete"]),
        ({"at": 0}, ["incomplete"]),
        ({"mood": REVERTS}, ["failing"]),
        ({"mood": BURNS}, ["failing"]),
    ],
    ids=("zero", "negative", "most", "a two-thousandth", "old round", "never", "reverts", "burns"),
)
async def test_a_feed_that_turns_wild(world, said, expected):
    """It was a feed like any other when the market was discovered."""
    feed = world.wild()
    world.source(feed)
    await world.discover()
    assert await world.checks() == []
    now = (await world.reader.head()).timestamp
    told = {"round": 2, "answer": PRICE, "at": now, "answered_in": 2, "mood": ANSWERS} | said

    feed.send("set", *told.values())

    found = await world.checks(medians={world.weth: PRICE})
    assert [one for one in found if one in expected] == expected


async def test_a_feed_without_code_fails_alone(world):
    """Its accounts have no price; the market's other prices are as before."""
    feed = world.wild()
    world.source(feed)
    await world.discover()
    world.node.rpc("anvil_setCode", [feed.address, "0x"])

    found = await world.snapshot()

    assert await world.checks() == ["failing"]
    assert sum(one.price is None for one in found.readings()) == 1


async def test_a_feed_of_other_decimals(world):
    """The market takes 18 decimals for 8: a price ten thousand million times too high."""
    world.source(world.wild(decimals=18))
    await world.discover()

    assert await world.checks() == ["decimals"]


async def test_a_pool_and_a_feed_as_second_sources(world):
    """A real pool's time-weighted price; both ride in the block's aggregate."""
    devnet = world.devnet
    devnet.set_prices({"WETH": PRICE})
    world.node.pass_time(1_800)
    pool = devnet.venue.factory.call("getPool", world.weth, devnet.tokens["USDC"].address, 500)
    wanted = [
        Second(token=world.weth, pool=pool, window_seconds=600),
        Second(token=world.weth, feed=devnet.feeds["WETH"].source.address),
        Second(token=world.weth, feed="0x" + "9" * 40),
    ]
    rider = SecondSources(wanted)
    world.devnet.set_prices({"WETH": PRICE * 100 // 121}, leave_pools=True)

    found = await world.snapshot(rider)
    by_pool, by_feed, by_nobody = rider.prices([found])[found.market][world.weth]

    assert abs(by_pool.price - PRICE) < PRICE // 1_000
    assert by_feed.price == PRICE * 100 // 121
    assert by_nobody.price is None
    stated = MarketFacts(readings=tuple(found.readings()), seconds={world.weth: (by_pool,)})
    rules = replace(OracleRules(), factor_bps=1_500)
    wrong = suspicions(rules, stated, {}, found.head.timestamp)
    assert [str(one.check) for one in wrong if one.token == world.weth] == ["deviation"]
