"""Logs that a node leaves out: nothing is lost, whatever it leaves out and for however long."""

from dataclasses import dataclass

import pytest

from keeper.book.follower import Follower
from keeper.book.keeping import Keeping
from keeper.book.looks import LOOK_EVERY
from keeper.chain.reader import connect
from keeper.composition.wiring import load_market
from keeper.config import Market
from tests.chain.conformance.books import state
from tests.support.threaded import proxied
from tests.support.withholding import Withholding, drop_addresses, drop_at, keep_none

CHAIN_ID = 31337


@dataclass
class Watched:
    """A book over a proxy, moved block by block; every look has ended before the next block."""

    world: object
    reader: object
    book: Follower

    async def advance(self):
        """Move to the newest block and let the looks that it brings end."""
        snapshots = await self.book.advance(await self.reader.head())
        await self.book.looks.finish()
        return snapshots

    async def mine(self, blocks=1):
        """Mine empty blocks and follow each."""
        for _ in range(blocks):
            self.world.devnet.node.rpc("evm_mine")
            snapshots = await self.advance()
        return snapshots

    async def act(self, *, step_by_step=True):
        """Change positions, let somebody enter, create what can be created."""
        for transactions in self.world.actions():
            for one in transactions:
                self.world.devnet.node.send(one)
                if step_by_step:
                    await self.advance()
        return await self.advance()

    def unexplained(self):
        return [one.describe() for one in self.book.looks.explanations.open]

    def uncovered(self):
        totals = [one for each in self.book.coverage.totals().values() for one in each]
        return [one for one in totals if one.uncovered]


def book_over(world, reader, path=None):
    book = Follower(reader, [load_market(Market.model_validate(world.options()), reader)])
    book.keeping = Keeping(path, CHAIN_ID)
    return book


async def started(world, reader, path=None):
    """Return a book that has followed a few quiet blocks."""
    book = book_over(world, reader, path)
    await book.start(await reader.head())
    watched = Watched(world, reader, book)
    await watched.mine(2)
    return watched


async def as_made_anew(world):
    """Return what a book says that was read anew from the node itself."""
    async with connect([f"http://127.0.0.1:{world.devnet.node.port}"]) as reader:
        book = book_over(world, reader)
        head = await reader.head()
        await book.start(head)
        return state(await book.advance(head))


FAULTS = {
    "empty by hash, once": {"answers": 1},
    "empty by hash, always": {},
    "empty by hash and by range, twice": {"by_range": True, "answers": 2},
    "empty in every way, twice": {"by_range": True, "receipts": True, "answers": 2},
    "empty by hash and by range, always": {"by_range": True},
    "null by hash": {"instead": {"result": None}},
    "refused": {"by_range": True, "instead": {"error": {"code": -32000, "message": "no logs"}}},
    "the first log left out": {"change": drop_at(0)},
    "the last log left out": {"change": drop_at(-1), "by_range": True},
    "the second log left out": {"change": drop_at(1)},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_one_bad_node_loses_nothing_while_it_is_bad(world, fault):
    """The receipts, the range or the second answer say what the first one left out."""
    with proxied(world.devnet.node.port) as proxy:
        withholding = Withholding(proxy, **FAULTS[fault])
        async with connect([proxy.url]) as reader:
            watched = await started(world, reader)
            withholding.on = True
            await watched.act()
            found = await watched.mine(3)

            assert withholding.changed
            assert state(found) == await as_made_anew(world)
            assert watched.uncovered() == []


async def withheld(world, reader, withholding, path=None):
    """Return a book that was told nothing of what happened, and has said so."""
    watched = await started(world, reader, path)
    before = (await reader.head()).number
    withholding.on = True
    await watched.act()
    await watched.mine(2)

    assert "explains the change" in watched.book.concern()
    assert watched.book.looks.covered_to <= before
    return watched


async def found_after_all(world, watched):
    """Check that nothing is lost by the time that a good node has been asked again."""
    found = await watched.mine(LOOK_EVERY + 2)

    assert state(found) == await as_made_anew(world)
    assert watched.book.concern() == ""
    assert watched.book.rebuild_news() == []


async def test_what_is_withheld_for_ever_is_told_and_found_afterwards(world):
    """Empty in every way: not ready, not covered; nothing is lost once the node is right again."""
    with proxied(world.devnet.node.port) as proxy:
        withholding = Withholding(proxy, by_range=True, receipts=True)
        async with connect([proxy.url]) as reader:
            watched = await withheld(world, reader, withholding)
            withholding.on = False

            await found_after_all(world, watched)


async def test_what_was_withheld_is_found_by_a_restart(world, tmp_path):
    """The kept file does not say that such blocks are covered."""
    path = tmp_path / "keeper.book.sqlite"
    with proxied(world.devnet.node.port) as proxy:
        withholding = Withholding(proxy, by_range=True, receipts=True)
        async with connect([proxy.url]) as reader:
            watched = await withheld(world, reader, withholding, path)
            await watched.book.close()
        withholding.on = False
        async with connect([proxy.url]) as reader:
            again = book_over(world, reader, path)
            await again.start(await reader.head())

            await found_after_all(world, Watched(world, reader, again))
            await again.close()


async def test_a_restart_over_the_bad_node_forgets_nothing(world, tmp_path):
    """What was unexplained is unexplained still, until a good node is asked."""
    path = tmp_path / "keeper.book.sqlite"
    with proxied(world.devnet.node.port) as proxy:
        withholding = Withholding(proxy, by_range=True, receipts=True)
        for process in range(3):
            async with connect([proxy.url]) as reader:
                book = book_over(world, reader, path)
                await book.start(await reader.head())
                watched = Watched(world, reader, book)
                await watched.mine(2)
                if process == 0:
                    withholding.on = True
                    await watched.act()
                if process < 2:
                    assert watched.unexplained()
                withholding.on = process == 0
                if process == 1:
                    found = await watched.mine(LOOK_EVERY + 2)
                    assert state(found) == await as_made_anew(world)
                await book.close()


@pytest.mark.parametrize("good", [0, 1])
async def test_of_two_nodes_the_one_that_shows_logs_counts(world, good):
    """Whichever is asked first: the other is asked before an empty answer is believed."""
    with proxied(world.devnet.node.port) as first, proxied(world.devnet.node.port) as second:
        bad = (second, first)[good]
        withholding = Withholding(bad, by_range=True, receipts=True)
        async with connect([first.url, second.url]) as reader:
            watched = await started(world, reader)
            withholding.on = True
            await watched.act()
            found = await watched.mine(3)

            assert state(found) == await as_made_anew(world)
            assert watched.unexplained() == []
            assert watched.uncovered() == []


async def test_the_logs_of_any_one_contract_may_be_left_out(world):
    """Of the pool or a token: what the others log does not hide it."""
    with proxied(world.devnet.node.port) as proxy:
        withholding = Withholding(proxy, by_range=True)
        async with connect([proxy.url]) as reader:
            watched = await started(world, reader)
            (market,) = [one.market for one in watched.book.followed]
            addresses = list(market.log_filter.addresses)
            withholding.on = True
            for at, transactions in enumerate(world.actions()):
                withholding.change = drop_addresses(addresses[at :: len(world.actions())])
                for one in transactions:
                    world.devnet.node.send(one)
                    await watched.advance()
            withholding.on = False
            found = await watched.mine(LOOK_EVERY + 2)

            assert state(found) == await as_made_anew(world)


async def test_a_quiet_block_costs_no_look_but_one_in_so_many(world):
    """Two requests for each block, and one more in twenty-five."""
    with proxied(world.devnet.node.port) as proxy:
        async with connect([proxy.url]) as reader:
            watched = await started(world, reader)
            proxy.reset()
            blocks = 3 * LOOK_EVERY
            await watched.mine(blocks)
            asked = proxy.counts["eth_getLogs"] + proxy.counts["eth_call"]

            assert asked <= 2 * blocks + blocks // LOOK_EVERY
            assert watched.book.looks.counts["nothing"] >= 2


async def test_withheld_quietly_a_log_is_found_by_the_look_by_range(world):
    """A log that changes no total is found in the next look at many blocks."""
    with proxied(world.devnet.node.port) as proxy:
        withholding = Withholding(proxy, change=keep_none)
        async with connect([proxy.url]) as reader:
            watched = await started(world, reader)
            withholding.on = True
            for transaction in world.silent_actions():
                world.devnet.node.send(transaction)
            await watched.advance()
            withholding.on = False
            found = await watched.mine(LOOK_EVERY + 2)

            assert state(found) == await as_made_anew(world)
