"""What fails or is hostile is left alone with a reason, and costs the others nothing."""

from collections import Counter

import pytest

from keeper.chain.reader import connect
from tests.chain.conformance.books import advanced, fall, followed
from tests.chain.conformance.keepers import configured, decided, taken
from tests.chain.conformance.test_health import differing
from tests.support.threaded import proxied
from tests.support.undoing import undo

pytestmark = pytest.mark.early(12)


class Only:
    """A snapshot without those whom a failure concerns."""

    def __init__(self, one, failure):
        self._one, self._failure = one, failure
        self.market = one.market

    def balances(self, account):
        return self._one.balances(account)

    def accounts(self):
        healths = self._one.accounts()
        return [h for h in healths if not self._failure.concerns(self.market, h.account)]


async def test_others_stay_exact_and_cost_no_request_more(world):
    """Each failure in turn: from its second block on no request more, and exact figures."""
    node = world.devnet.node
    with proxied(node.port) as proxy:
        async with connect([proxy.url]) as reader:
            for name, failure in world.failures().items():
                kept = node.rpc("evm_snapshot")
                book, _ = await followed(reader, world)
                node.rpc("evm_mine")
                proxy.reset()
                await advanced(book, reader)
                before = Counter(proxy.counts)

                failure.happen()
                node.rpc("evm_mine")
                await advanced(book, reader)
                node.rpc("evm_mine")
                proxy.reset()
                snapshots = await advanced(book, reader)
                after = Counter(proxy.counts)

                assert after == before, name
                assert book.quarantined == {}
                assert differing(world, [Only(one, failure) for one in snapshots]) == []
                concerned = [
                    health
                    for one in snapshots
                    for health in one.accounts()
                    if failure.concerns(one.market, health.account)
                ]
                assert concerned, name
                undo(node, kept)


async def test_a_failure_is_told_and_passes(world, reader):
    """An account that cannot be valued is unpriced with words, and never liquidatable."""
    node, told = world.devnet.node, 0
    for failure in world.failures().values():
        kept = node.rpc("evm_snapshot")
        book, _ = await followed(reader, world)
        failure.happen()
        snapshots = await advanced(book, reader)
        unpriced = [h for one in snapshots for h in one.accounts() if h.unpriced]
        assert all(not each.liquidatable for each in unpriced)
        assert all(failure.concerns(each.market, each.account) for each in unpriced)
        if unpriced:
            told += 1
        undo(node, kept)
        book, snapshots = await followed(reader, world)
        assert not any(h.unpriced for one in snapshots for h in one.accounts())
    assert told


@pytest.mark.parametrize("number", range(5))
def test_others_are_liquidated_all_the_same(world, tmp_path, number):
    """Whoever was worth a liquidation still is."""
    failures = list(world.failures().items())
    if number >= len(failures):
        pytest.skip("this protocol has no further failure")
    _, failure = failures[number]
    keeper = configured(tmp_path / "keeper", world.devnet, world)
    fall(world, 1, leave_pools=False)
    before = taken(decided(keeper))
    unconcerned = {who for who in before if not failure.concerns(*who)}
    assert len(unconcerned) >= 5

    failure.happen()
    after = decided(keeper)

    assert unconcerned <= taken(after)
    for who, one in after.items():
        if failure.concerns(*who) and one["action"] == "skip":
            assert one["reason"]
            assert one["detail"]


async def test_a_protocol_that_is_gone_is_quarantined(world, reader):
    """It is told which market and why, and nobody is liquidated by old figures."""
    book, _ = await followed(reader, world)
    fall(world, 1)
    world.vanish()
    snapshots = await advanced(book, reader)

    assert snapshots == []
    assert len(book.quarantined) == 1
    assert all(why for why in book.quarantined.values())
