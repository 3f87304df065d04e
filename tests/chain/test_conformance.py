"""
What every lending adapter must do, whatever its protocol: the same tests over each of them.

A new adapter joins with a row of ``ADAPTERS``: how it is built on a devnet, and one
transaction that changes a borrower's position. That health, plans and events equal the
contracts, to the wei, is proven in the protocol's own chain tests.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from keeper.book.follower import Follower
from keeper.chain.reader import connect
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.market import MORPHO_BLUE, bring_up
from keeper.devnet.node import Node
from keeper.domain.errors import MarketUnreadable
from keeper.domain.opportunity import Outcome, Window
from keeper.domain.units import UINT256_MAX, deployment
from keeper.ports import ExecutorTargets, TargetsExecutor
from keeper.protocols.aave_v3 import adapter as aave_v3
from keeper.protocols.morpho_blue import adapter as morpho_blue
from tests.chain.conftest import INTERVAL, START, undone

USD = 10**8
FALLEN = {"WETH": 2_500 * USD, "WBTC": 50_000 * USD, "LINK": 10 * USD}
MONTH = 30 * 24 * 3_600


@dataclass(frozen=True)
class Adapter:
    """``chain`` is the fixture that the adapter's market is on."""

    chain: str
    build: Callable
    stir: Callable


def aave(devnet, reader):
    options = aave_v3.Options(addresses_provider=devnet.aave.provider.address)
    return aave_v3.build(options, from_block=devnet.from_block, reader=reader)


def repaid_to_aave(devnet):
    person = next(one for one in devnet.borrowers if one.kind == "plain")
    usdc = devnet.tokens["USDC"].address
    devnet.aave.pool.send("repay", usdc, person.debt["USDC"] // 2, 2, person.address)


def morpho(devnet, reader):
    feeds = {
        devnet.tokens[symbol].address: feed.source.address
        for symbol, feed in devnet.feeds.items()
        if feed.aggregator
    }
    options = morpho_blue.Options(morpho=devnet.morpho.contract.address, all=True, usd_feeds=feeds)
    return morpho_blue.build(options, from_block=devnet.morpho.from_block, reader=reader)


def repaid_to_morpho(devnet):
    person = devnet.morpho.borrowers[0]
    terms = devnet.morpho.markets[person.market].terms
    devnet.morpho.contract.send("repay", terms, person.debt // 2, 0, person.address, b"")


ADAPTERS = {
    "Aave 3.6": Adapter("aave36", aave, repaid_to_aave),
    "Aave 3.0": Adapter("aave30", aave, repaid_to_aave),
    "Morpho Blue": Adapter("morpho_devnet", morpho, repaid_to_morpho),
}


@pytest.fixture(scope="module")
def morpho_market():
    with start_anvil(AnvilOptions(timestamp=START)) as anvil:
        node = Node(anvil.port)
        node.rpc("anvil_setBlockTimestampInterval", [INTERVAL])
        yield bring_up(node, borrowers=44, protocols=(MORPHO_BLUE,))
        node.close()


@pytest.fixture
def morpho_devnet(morpho_market):
    yield from undone(morpho_market)


@pytest.fixture(params=ADAPTERS.values(), ids=ADAPTERS)
def adapter(request):
    return request.param


@pytest.fixture
def chain(request, adapter):
    return request.getfixturevalue(adapter.chain)


@pytest.fixture
async def reader(chain):
    async with connect([f"http://127.0.0.1:{chain.node.port}"]) as made:
        yield made


@pytest.fixture
async def market(adapter, chain, reader):
    return adapter.build(chain, reader)


async def following(reader, market):
    follower = Follower(reader, [market])
    await follower.start(await reader.head())
    return follower


async def advanced(follower, reader):
    """Everything that the newest block's snapshots say, comparable."""
    taken = await follower.advance(await reader.head())
    assert not follower.quarantined
    return [
        (
            one.market,
            one.head.hash,
            one.accounts(),
            [one.balances(health.account) for health in one.accounts()],
            one.prices,
            one.liquidity,
        )
        for one in taken
    ]


def changed(chain, adapter):
    chain.set_prices(FALLEN, leave_pools=True)
    chain.pass_time(MONTH)
    adapter.stir(chain)


async def test_who_followed_and_who_comes_later_see_the_same(adapter, chain, reader, market):
    """After prices, interest and positions changed: a restart loses and invents nothing."""
    follower = await following(reader, market)
    before = await advanced(follower, reader)
    changed(chain, adapter)
    after = await advanced(follower, reader)
    fresh = await following(reader, adapter.build(chain, reader))

    assert after == await advanced(fresh, reader)
    assert [one[2] for one in before] != [one[2] for one in after]


async def test_a_block_that_is_gone_leaves_nothing_behind(adapter, chain, reader, market):
    """A reorganisation: what the orphaned blocks did is undone in the book, too."""
    follower = await following(reader, market)
    await advanced(follower, reader)
    kept = chain.node.rpc("evm_snapshot")
    changed(chain, adapter)
    orphaned = await advanced(follower, reader)
    chain.node.rpc("evm_setAutomine", [False])
    chain.node.rpc("evm_revert", [kept])
    chain.node.rpc("anvil_dropAllTransactions")
    chain.node.rpc("evm_setAutomine", [True])
    chain.pass_time(77)
    chain.pass_time(5)
    now = await advanced(follower, reader)
    fresh = await following(reader, adapter.build(chain, reader))

    assert now == await advanced(fresh, reader)
    assert [one[2] for one in now] != [one[2] for one in orphaned]


async def test_quiet_blocks_ask_the_same_reads(chain, reader, market):
    """So that they are packed once; nothing creeps in."""
    follower = await following(reader, market)
    asked = []
    for _ in range(3):
        chain.pass_time(12)
        await advanced(follower, reader)
        asked.append(list(market.calls(await reader.head())))

    assert asked[0] == asked[1] == asked[2]


async def test_answers_to_another_block_are_refused(chain, reader, market):
    """They would be taken for this block's."""
    await following(reader, market)
    head = await reader.head()
    market.calls(head)
    chain.pass_time(12)
    with pytest.raises(MarketUnreadable):
        market.apply(await reader.head(), [])


async def test_snapshots_belong_to_their_deployment(chain, reader, market):
    """By their keys; accounts are found one by one as in the list, the worst first."""
    follower = await following(reader, market)
    taken = await follower.advance(await reader.head())

    assert taken
    assert len({one.market for one in taken}) == len(taken)
    for one in taken:
        accounts = one.accounts()
        assert deployment(one.market) == market.key
        assert [one.account(each.account) for each in accounts] == list(accounts)
        assert [a.health_factor for a in accounts] == sorted(a.health_factor for a in accounts)
        assert all(each.market == one.market for each in accounts)
        assert one.account("0x" + "0" * 39 + "1") is None


async def test_an_executor_knows_what_to_allow(chain, reader, market):
    """Asked after discovery, before any account is loaded."""
    await market.discover(await reader.head())

    assert isinstance(market, TargetsExecutor)
    assert isinstance(market.executor_targets(), ExecutorTargets)
    assert market.executor_targets().lenders


async def test_every_unhealthy_account_has_an_offer_or_a_reason(chain, reader, market):
    """And every offer keeps its promises: bounds in order, more for more, nothing for nothing."""
    chain.set_prices(FALLEN, leave_pools=True)
    follower = await following(reader, market)
    offers = 0
    for one in await follower.advance(await reader.head()):
        window = Window(earliest=one.head.timestamp + 12, deadline=one.head.timestamp + 300)
        for health in one.accounts():
            found, refusals = one.opportunities(health.account, window)
            assert found or refusals
            assert not found or health.liquidatable
            for offer in found:
                kept(offer, one)
                offers += 1
    assert offers >= 10


def kept(offer, taken):
    assert (offer.market, offer.gas > 0) == (taken.market, True)
    assert {offer.spend_token, offer.receive_token} <= taken.prices.keys()
    low, high = offer.partial or (UINT256_MAX, UINT256_MAX)
    outcomes = [offer.outcome(amount) for amount in (low, (low + high) // 2, high, UINT256_MAX)]
    good = [one for one in outcomes if isinstance(one, Outcome)]
    assert len(good) >= 1
    for one in good:
        assert 0 < one.spend <= one.spend_at_most
        assert 0 < one.receive_at_least <= one.receive
        assert len(offer.step(one.amount).data) % 32 == 0
    spends = [one.spend for one in good]
    assert spends == sorted(spends)
    assert not isinstance(offer.outcome(0), Outcome)
