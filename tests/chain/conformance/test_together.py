"""Several protocols under one keeper: one ranking, one transaction, one exit depth."""

from collections import Counter

from keeper.chain.reader import connect
from tests.chain.conformance.books import fall, followed, state
from tests.chain.conformance.keepers import configured, decided, protocol, taken
from tests.chain.worlds import decisions, driven, plans_of
from tests.support.threaded import proxied
from tests.support.undoing import undo

QUIET = {"eth_getLogs": 1, "eth_call": 1}


def test_they_share_ranking_and_transactions(together, tmp_path):
    """Every protocol's plans are in the same transactions, none fails, and one lends to another."""
    keeper = configured(tmp_path / "keeper", together.devnet, *together.worlds)
    fall(together.worlds[0], 1, leave_pools=False)

    events = driven(keeper, 3)

    included = [one for one in events if one["event"] == "included"]
    mixed = [{protocol(plan["market"]) for plan in one["plans"]} for one in included]
    assert max(len(one) for one in mixed) == len(together.worlds)
    assert [plan["failure"] for plan in plans_of(events) if plan["failure"]] == []
    done = Counter(protocol(plan["market"]) for plan in plans_of(events))
    assert len(done) == len(together.worlds)
    names = {world.options()["protocol"] for world in together.worlds}
    lent = {
        (protocol(one["market"]), name)
        for one in decisions(events, "liquidate")
        for name in names
        if one["funding"].startswith(name)
    }
    assert any(taker != lender for taker, lender in lent)


def test_they_share_exit_depth(together, tmp_path):
    """Where both sell the same collateral, one keeper plans to earn less than two would."""
    fall(together.worlds[0], 1, leave_pools=False)
    alone = [
        decided(configured(tmp_path / str(number), together.devnet, world))
        for number, world in enumerate(together.worlds)
    ]
    both = decided(configured(tmp_path / "both", together.devnet, *together.worlds))
    separate = {who: one for each in alone for who, one in each.items()}

    assert {protocol(market) for market, _ in taken(both)} == {
        protocol(market) for market, _ in taken(separate)
    }
    assert earned(both) < earned(separate)


def earned(found):
    return sum(int(one["net_profit_wei"]) for one in found.values() if one["action"] == "liquidate")


async def test_one_that_is_gone_costs_the_others_nothing(together):
    """Each in turn: quarantined alone, the others exact, and no request more."""
    node = together.devnet.node
    for gone in together.worlds:
        kept = node.rpc("evm_snapshot")
        with proxied(node.port) as proxy:
            async with connect([proxy.url]) as reader:
                book, _ = await followed(reader, *together.worlds)
                gone.vanish()
                node.rpc("evm_mine")
                head = await reader.head()
                proxy.reset()
                left = await book.advance(head)
                assert Counter(proxy.counts) == QUIET
                name = gone.options()["protocol"]
                assert [protocol(key) for key in book.quarantined] == [name]
                assert name not in {protocol(one.market) for one in left}
                others = [one for one in together.worlds if one is not gone]
                _, new = await followed(reader, *others)
                assert state(left) == state(new)
        undo(node, kept)


async def test_they_share_each_blocks_two_requests(together):
    """A quiet block costs the same for two protocols as for one."""
    node = together.devnet.node
    with proxied(node.port) as proxy:
        async with connect([proxy.url]) as reader:
            book, _ = await followed(reader, *together.worlds)
            node.rpc("evm_mine")
            head = await reader.head()
            proxy.reset()
            assert await book.advance(head)
            assert Counter(proxy.counts) == QUIET
