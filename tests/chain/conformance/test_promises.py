"""What the ports say of an adapter, beyond its figures."""

import pytest

from keeper.abilities import BoundsBonus
from keeper.composition.wiring import load_market
from keeper.config import Market
from keeper.domain.errors import MarketUnreadable
from keeper.domain.head import Basis
from keeper.domain.units import deployment
from keeper.ports import DescribesItself, TargetsExecutor
from tests.chain.conformance.books import advanced, fall, followed, unhealthy, window
from tests.support.history import history_of


@pytest.fixture
async def market(world, reader):
    """The world's adapter, made and nothing more."""
    return load_market(Market.model_validate(world.options()), reader)


async def ready(market, reader):
    """Bring an adapter to the newest block, as the book does."""
    head = await reader.head()
    await market.discover(head)
    logs = await history_of(reader, market.history_filter, market.from_block, head.number)
    await market.load(head, market.borrowers(logs))
    return head


async def test_quiet_blocks_ask_the_same_reads(world, market, reader):
    """So that they are packed once; nothing creeps in."""
    await ready(market, reader)
    asked = []
    for _ in range(3):
        world.devnet.node.rpc("evm_mine")
        head = await reader.head()
        asked.append(list(market.calls(head)))
        market.apply(head, await reader.aggregate(asked[-1], Basis(block_hash=head.hash)))

    assert asked[0] == asked[1] == asked[2]


async def test_answers_to_another_block_are_refused(world, market, reader):
    """They would be taken for this block's."""
    head = await ready(market, reader)
    market.calls(head)
    world.devnet.node.rpc("evm_mine")
    with pytest.raises(MarketUnreadable):
        market.apply(await reader.head(), [])


async def test_a_market_is_known_by_its_deployment(world, market, reader):
    """Settings and executors are found by the beginning of a snapshot's key."""
    book, snapshots = await followed(reader, world)

    assert market.key == deployment(market.key)
    assert {deployment(one.market) for one in snapshots} == {market.key}
    assert len({one.market for one in snapshots}) == len(snapshots)
    assert {one.head for one in await advanced(book, reader)} == {await reader.head()}


async def test_the_executor_is_told_whom_to_allow(world, market, reader):
    """After discovery, before any account is loaded: and the devnet's executor does allow it."""
    await market.discover(await reader.head())

    assert isinstance(market, TargetsExecutor)
    assert market.executor_targets().lenders


async def test_an_operator_is_told_what_is_read(world, reader):
    """Each snapshot has lines for doctor, and none is a concern where nothing is wrong."""
    _, snapshots = await followed(reader, world)

    for one in snapshots:
        assert isinstance(one, DescribesItself)
        facts = one.facts()
        assert facts
        assert all(each.text for each in facts)
        assert not any(each.concern for each in facts)
        assert list(one.warnings) == []


async def test_who_is_left_alone_for_his_debt_has_no_better_offer(world, reader):
    """A market may bound what an account earns: no less than any offer, for no more gas."""
    book, _ = await followed(reader, world)
    fall(world, 1)
    snapshots = await advanced(book, reader)
    for (_, account), taken in unhealthy(snapshots).items():
        found, _ = taken.opportunities(account, window(taken))
        assert found
        if not isinstance(taken, BoundsBonus):
            continue
        bound = taken.bonus_at_most(taken.account(account), window(taken))
        for offer in found if bound is not None else ():
            assert offer.bonus_at_most <= bound[0]
            assert offer.gas >= bound[1]
