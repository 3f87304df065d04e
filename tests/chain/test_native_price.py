"""The native coin's price where the market does not state it, and venues that do not answer."""

from types import SimpleNamespace

import pytest

from keeper.chain.abi import checksum
from keeper.chain.reader import connect
from keeper.domain.errors import RpcMalformed
from keeper.domain.exits import Exits
from keeper.quotes.uniswap_v3.venue import UniswapV3Venue
from keeper.stages.exit_reads import fetch_exits
from keeper.stages.valuation import NativeCoin
from tests.chain.worlds import Keeper, decisions, driven

USD = 10**8
NOWHERE = checksum("0x" + "ab" * 20)


def venue(devnet, reader, factory=""):
    """Return the market's venue, or one of another factory."""
    return UniswapV3Venue(
        reader,
        factory=checksum(factory or devnet.venue.factory.address),
        quoter=checksum(devnet.venue.quoter.address),
        via=[checksum(devnet.tokens["USDC"].address)],
    )


def listing(snapshot_head, prices):
    """Return as much of a snapshot as a valuation looks at."""
    return SimpleNamespace(head=snapshot_head, prices=prices, base_unit=USD)


@pytest.fixture
async def reader(aave36):
    async with connect([f"http://127.0.0.1:{aave36.node.port}"]) as made:
        yield made


def quoted(devnet, *symbols):
    """Return the market's prices of some tokens."""
    decimals = {"DAI": 18, "USDC": 6, "WETH": 18, "LINK": 18}
    return {
        checksum(devnet.tokens[one].address): SimpleNamespace(
            symbol=one, decimals=decimals[one], price=devnet.prices()[one]
        )
        for one in symbols
    }


async def test_an_unlisted_native_coin_is_priced_by_what_it_sells_for(aave36, reader):
    """To within the pools' fee of the price that the market itself would state."""
    head, weth = await reader.head(), checksum(aave36.tokens["WETH"].address)
    coin = NativeCoin(reader, wrapped=weth, feed=None, venues=[venue(aave36, reader)])
    stated = aave36.prices()["WETH"]
    for symbols in (("USDC", "DAI"), ("DAI",), ("LINK",)):
        value = await coin.valuation(listing(head, quoted(aave36, *symbols)))
        assert value is not None
        assert stated * 99 // 100 <= value.native_price <= stated
    listed = await coin.valuation(listing(head, quoted(aave36, "WETH", "USDC")))
    assert listed is not None
    assert listed.native_price == stated


async def test_a_native_coin_that_nobody_prices_has_no_value(aave36, reader):
    """Neither without a wrapped coin, nor where no pool sells it, nor by a feed that fails."""
    head, prices = await reader.head(), quoted(aave36, "USDC")
    for wrapped, feed in ((None, None), (NOWHERE, None), (None, NOWHERE)):
        coin = NativeCoin(reader, wrapped=wrapped, feed=feed, venues=[venue(aave36, reader)])
        assert await coin.valuation(listing(head, prices)) is None


async def test_a_venue_that_does_not_answer_fails_alone(aave36, reader):
    """Its exits are none; the other venue's are as they were."""
    wrong = venue(aave36, reader, factory=aave36.tokens["DAI"].address)
    right = venue(aave36, reader)
    head = await reader.head()
    pair = tuple(checksum(aave36.tokens[one].address) for one in ("WETH", "USDC"))
    basis = SimpleNamespace(block_hash=head.hash, overlay=(), landing=None)

    with pytest.raises(RpcMalformed):
        await wrong.exits({pair}, basis)
    found = await fetch_exits([wrong, right], {pair}, basis)

    assert found.routes[pair]
    assert await fetch_exits([wrong], {pair}, basis) == Exits(routes={}, curves={}, lenders={})


def test_it_liquidates_while_the_native_coins_price_source_fails(aave36, tmp_path):
    """The market's own price of WETH is gone; the pools say what gas costs."""
    aave36.set_prices({"WBTC": 30_000 * USD})
    aave36.node.rpc("anvil_setCode", [aave36.feeds["WETH"].source.address, "0x"])
    keeper = Keeper(tmp_path / "keeper", aave36)
    keeper.configure()
    events = driven(keeper, 2)

    done = {one["account"] for one in decisions(events, "liquidate")}
    kinds = {one.kind for one in aave36.borrowers if one.address in done}
    assert "bitcoin" in kinds
    assert all(one["success"] for one in events if one["event"] == "included")
