"""A history that was read without all of its logs is read again, and nobody is missing then."""

import pytest

from keeper.book.follower import Follower
from keeper.book.keeping import Keeping
from keeper.book.looks import BLOCKS_BY_HASH, LOOK_EVERY
from keeper.book.rereading import REQUESTS
from keeper.chain.reader import connect
from keeper.composition.wiring import load_market
from keeper.config import Market
from tests.chain.conformance.books import state
from tests.chain.conformance.test_missing_logs import CHAIN_ID, Watched, as_made_anew, withheld
from tests.support.threaded import proxied
from tests.support.withholding import Withholding, keep_none

HEALING_BLOCKS = 40
FAULTS = {
    "from_block late": {},
    "empty logs": {"change": keep_none},
    "cut in half": {"change": lambda logs: logs[: len(logs) // 2]},
}


def last_borrow(world):
    """Return the newest block in which somebody borrowed."""
    return world.devnet.node.block_number()


def book_over(world, reader, path=None, from_block=None):
    options = dict(world.options())
    if from_block is not None:
        options["from_block"] = from_block
    book = Follower(reader, [load_market(Market.model_validate(options), reader)])
    book.keeping = Keeping(path, CHAIN_ID)
    return book


async def settled(watched, blocks=HEALING_BLOCKS):
    """Mine until nothing is missing any more, waiting for each portion that is read."""
    for _ in range(blocks):
        snapshots = await watched.mine()
        await watched.book.rereading.finish()
        if not watched.book.concern() and not watched.uncovered():
            break
    return snapshots


async def enter(world):
    """Let borrowers and, where that is possible, a market appear; return the block before."""
    before = world.devnet.node.block_number()
    for transactions in world.actions():
        for one in transactions:
            world.devnet.node.send(one)
    return before


def withhold(proxies, fault):
    """Have nodes leave the whole history out, as ``fault`` says."""
    return [Withholding(proxy, by_range=True, receipts=True, on=True, **fault) for proxy in proxies]


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_start_with_a_holey_history_is_told_and_heals(world, fault, nodes):
    """Told and not ready with the known accounts acted upon; complete without a restart."""
    await enter(world)
    with proxied(world.devnet.node.port) as first, proxied(world.devnet.node.port) as second:
        proxies = [first, second][:nodes]
        from_block = last_borrow(world) if fault == "from_block late" else None
        withholding = withhold([first], FAULTS[fault]) if FAULTS[fault] else []
        async with connect([proxy.url for proxy in proxies]) as reader:
            book = book_over(world, reader, from_block=from_block)
            await book.start(await reader.head())
            watched = Watched(world, reader, book)
            await watched.mine(2)
            assert watched.book.concern()
            await watched.mine(3)
            for one in withholding if nodes == 1 else ():
                one.on = False
            found = await settled(watched)

            assert watched.book.concern() == ""
            assert watched.uncovered() == []
            assert state(found) == await as_made_anew(world)
            assert book.rebuild_news() == []


@pytest.mark.parametrize(
    "instead",
    [{"result": None}, {"error": {"code": -32005, "message": "query returned too much"}}],
    ids=["null", "refused"],
)
async def test_a_node_that_does_not_answer_when_it_is_read_again_is_asked_later(world, instead):
    """Nothing is lost once it is right again."""
    await enter(world)
    with proxied(world.devnet.node.port) as proxy:
        async with connect([proxy.url]) as reader:
            book = book_over(world, reader, from_block=last_borrow(world))
            await book.start(await reader.head())
            watched = Watched(world, reader, book)
            (fault,) = [Withholding(proxy, by_hash=False, by_range=True, on=True, instead=instead)]
            await watched.mine(3)
            await book.rereading.finish()
            assert fault.changed
            fault.on = False
            found = await settled(watched)

            assert watched.uncovered() == []
            assert state(found) == await as_made_anew(world)


async def test_a_kept_book_with_a_hole_heals_after_a_restart(world, tmp_path):
    """What was read again is kept: the second restart misses nobody."""
    await enter(world)
    path, late = tmp_path / "keeper.book.sqlite", last_borrow(world)
    with proxied(world.devnet.node.port) as proxy:
        for process in range(3):
            async with connect([proxy.url]) as reader:
                book = book_over(world, reader, path, from_block=late)
                await book.start(await reader.head())
                watched = Watched(world, reader, book)
                found = await watched.mine(1 if process == 0 else 2)
                if process == 1:
                    assert watched.uncovered()
                    found = await settled(watched)
                if process > 0:
                    assert state(found) == await as_made_anew(world)
                    assert watched.uncovered() == []
                await book.close()


async def test_a_node_that_never_shows_its_history_costs_a_bounded_number(world):
    """A few requests after a block, after fewer and fewer blocks."""
    await enter(world)
    with proxied(world.devnet.node.port) as proxy:
        withhold([proxy], FAULTS["empty logs"])
        async with connect([proxy.url]) as reader:
            book = book_over(world, reader)
            await book.start(await reader.head())
            watched = Watched(world, reader, book)
            await watched.mine(2)
            costs = []
            for _ in range(80):
                proxy.reset()
                await watched.mine()
                await book.rereading.finish()
                costs.append(proxy.counts["eth_getLogs"])

            assert watched.book.concern()
            assert max(costs) <= REQUESTS + 2
            assert sum(costs) - len(costs) <= 30


async def test_blocks_that_stay_unexplained_are_searched_for_ever_more_rarely(world, tmp_path):
    """After a restart, too, when they lie far behind the head."""
    path = tmp_path / "keeper.book.sqlite"
    with proxied(world.devnet.node.port) as proxy:
        withholding = Withholding(proxy, by_range=True, receipts=True)
        async with connect([proxy.url]) as reader:
            watched = await withheld(world, reader, withholding, path)
            await watched.book.close()
        world.devnet.node.rpc("anvil_mine", [hex(60)])
        async with connect([proxy.url]) as reader:
            again = book_over(world, reader, path)
            await again.start(await reader.head())
            watched = Watched(world, reader, again)
            assert watched.unexplained()
            proxy.reset()
            await watched.mine(60)
            searches = 8
            of_search = 3 * (BLOCKS_BY_HASH + 1)
            assert proxy.counts["eth_getLogs"] <= 60 + searches * of_search
            withholding.on = False
            found = await watched.mine(2 * LOOK_EVERY)

            assert state(found) == await as_made_anew(world)
            assert watched.book.concern() == ""
            await again.close()
