"""What doctor tells of a pool: the rules it is judged by, and how old its prices are."""

from keeper.chain.reader import connect
from keeper.domain.head import Basis
from keeper.protocols.aave_v3.adapter import Options, build


async def test_doctor_learns_rules_and_ages_from_the_market(aave36):
    """An adapter over a feed is named as such: the feed's age is not the ratio's."""
    address = aave36.aave.provider.address
    async with connect([f"http://127.0.0.1:{aave36.node.port}"]) as reader:
        market = build(Options(addresses_provider=address), from_block=0, reader=reader)
        head = await reader.head()
        await market.discover(head)
        results = await reader.aggregate(market.calls(head), Basis(block_hash=head.hash))
        (snapshot,) = market.apply(head, results)
        told = [fact.text for fact in snapshot.facts()]

    assert told[0] == "Aave v3.6 rules for revision 10, 7 reserves"
    staked = next(line for line in told if line.startswith("price of wstETH"))
    assert "by adapter" in staked
    assert aave36.feeds["WETH"].source.address in staked
