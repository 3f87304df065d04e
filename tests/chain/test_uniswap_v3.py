"""Claims about exits through Uniswap v3, checked against its real contracts."""

import json
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from keeper.chain.abi import checksum
from keeper.chain.reader import NodeReader, connect
from keeper.devnet.anvil import AnvilOptions, start_anvil
from keeper.devnet.node import Node
from keeper.devnet.toolchain import compile_solidity
from keeper.domain.curve import Route, bought_along, sold_along
from keeper.domain.errors import RpcRefused
from keeper.domain.head import Basis
from keeper.quotes.uniswap_v3.adapter import Options, build
from keeper.quotes.uniswap_v3.curve import UniswapV3Curve
from keeper.quotes.uniswap_v3.lens import Lens, plain_states
from keeper.quotes.uniswap_v3.pools import TIERS_HOLD, PoolDirectory, ordered
from keeper.quotes.uniswap_v3.tick_math import HIGHEST_PRICE, LOWEST_PRICE, tick_at_sqrt_ratio
from keeper.quotes.uniswap_v3.venue import UniswapV3Venue
from tests.chain.uniswap_world import World, bring_up, path_of, scatter
from tests.support.undoing import undo

ROOT = Path(__file__).resolve().parents[2]
SEED = 20261123
SPACING = {100: 1, 500: 10, 1700: 35, 3000: 60, 10000: 200}


def seeded(part: int) -> random.Random:
    return random.Random(SEED + part)  # noqa: S311 - repeatable, not secret


@pytest.fixture(scope="module")
def chain() -> Iterator[tuple[World, str]]:
    with start_anvil(AnvilOptions()) as anvil:
        node = Node(anvil.port)
        world = bring_up(node)
        rng = seeded(0)
        for a, b in ((0, 1), (1, 2), (0, 2)):
            for fee, spacing in SPACING.items():
                if (a, b) == (0, 2) and fee != 3000:
                    continue
                tick = rng.randint(-60_000, 60_000)
                pool = world.create_pool(a, b, fee, tick)
                scatter(world, pool, rng, spacing, tick)
        world.create_pool(0, 2, 500, 0)  # never any liquidity
        yield world, anvil.http
        node.close()


@pytest.fixture
def world(chain: tuple[World, str]) -> Iterator[World]:
    world, _ = chain
    snapshot = world.node.rpc("evm_snapshot")
    yield world
    undo(world.node, snapshot)


@pytest.fixture
async def reader(chain: tuple[World, str], world: World) -> AsyncIterator[NodeReader]:
    async with connect([chain[1]]) as reader:
        yield reader


def venue_of(world: World, reader: NodeReader) -> UniswapV3Venue:
    options = Options(
        factory=world.factory.address,
        quoter=world.quoter.address,
        via=tuple(token.address for token in world.tokens),
    )
    return build(options, reader=reader)


async def basis_now(reader: NodeReader) -> Basis:
    return Basis(block_hash=(await reader.head()).hash)


def pairs_of(world: World) -> list[tuple[str, str]]:
    addresses = [checksum(token.address) for token in world.tokens]
    return [(a, b) for a in addresses for b in addresses if a != b]


def amount(rng: random.Random) -> int:
    return rng.randint(1, 10 ** rng.randint(1, 26))


async def curves_of(world: World, reader: NodeReader) -> dict[str, UniswapV3Curve]:
    exits = await venue_of(world, reader).exits(pairs_of(world), await basis_now(reader))
    return dict(exits.curves)


async def test_every_single_quote_equals_quoter_v2(world: World, reader: NodeReader) -> None:
    """Both directions, amount in and amount out: equal to the wei, or unfillable on both sides."""
    rng, exact = seeded(0), 0
    for curve in (await curves_of(world, reader)).values():
        for _ in range(40):
            sold, bought = curve.tokens if rng.random() < 0.5 else curve.tokens[::-1]
            wanted = amount(rng)
            got = curve.sold(sold, wanted)
            told = world.quoted_in(sold, bought, curve.fee, wanted)
            if got is None:
                assert told is None or past_the_known(told[1], curve)
            else:
                assert told == (got.amount_out, got.after.position.price)
                exact += 1
            got = curve.bought(bought, wanted)
            told = world.quoted_out(sold, bought, curve.fee, wanted)
            if got is None:
                assert told is None or past_the_known(told[1], curve)
            else:
                assert told == (got.amount_in, got.after.position.price)
                exact += 1
    assert exact >= 500


def past_the_known(price: int, curve: UniswapV3Curve) -> bool:
    """Whether the pool stopped unfilled, or left the ticks that the curve knows."""
    if price in (LOWEST_PRICE, HIGHEST_PRICE):
        return True
    return not curve.depth.lowest <= tick_at_sqrt_ratio(price) < curve.depth.highest


async def test_every_route_equals_quoter_v2(world: World, reader: NodeReader) -> None:
    """Whole routes, one hop and two, forwards and backwards, equal the quoter's path quotes."""
    rng, exact = seeded(1), 0
    venue, basis = venue_of(world, reader), await basis_now(reader)
    exits = await venue.exits(pairs_of(world), basis)
    routes = [route for each in exits.routes.values() for route in each]
    assert {len(route.hops) for route in routes} == {1, 2}
    for route in routes:
        tokens = [route.hops[0].token_in, *(hop.token_out for hop in route.hops)]
        fees = [hop.fee for hop in route.hops]
        wanted = rng.randint(1, 10 ** rng.randint(3, 14))
        trade = sold_along(route, wanted, exits.curves)
        if trade is not None and trade.amount_out and enough_between(route, wanted, exits.curves):
            assert await venue.confirmed(route, wanted, basis) == trade.amount_out
            exact += 1
        trade = bought_along(route, wanted, exits.curves)
        told = world.quoted_path("quoteExactOutput", path_of(tokens[::-1], fees[::-1]), wanted)
        assert told == (None if trade is None else trade.amount_in)
        exact += trade is not None
    assert exact >= 60


def enough_between(route: Route, wanted: int, curves: dict[str, UniswapV3Curve]) -> bool:
    """Whether the first hop pays anything: the pool refuses to swap nothing."""
    first = route.hops[0]
    trade = curves[first.pool].sold(first.token_in, wanted)
    return trade is not None and trade.amount_out > 0


async def test_swaps_in_sequence_equal_trades_along_after(world: World, reader: NodeReader) -> None:
    """Trading along ``after`` is what the pool itself does, swap after swap, to and fro."""
    rng, swaps = seeded(2), 0
    for address, curve in (await curves_of(world, reader)).items():
        for _ in range(15):
            falls, exact_in = rng.random() < 0.5, rng.random() < 0.5
            sold, bought = curve.tokens if falls else curve.tokens[::-1]
            wanted = amount(rng)
            trade = curve.sold(sold, wanted) if exact_in else curve.bought(bought, wanted)
            if trade is None:
                continue
            pool = world.pools[address.lower()]
            done = world.swap(pool, falls, wanted if exact_in else -wanted)
            assert done == (trade.amount_in, trade.amount_out)
            curve = trade.after  # noqa: PLW2901 - the pool has moved on too
            slot0 = pool.call("slot0")
            assert (slot0[0], slot0[1]) == (curve.position.price, curve.position.tick)
            assert pool.call("liquidity") == curve.depth.active(curve.position.tick)
            swaps += 1
    assert swaps >= 80


async def test_swaps_that_end_exactly_at_a_tick(world: World, reader: NodeReader) -> None:
    """A swap that uses a tick up to the last wei crosses it, and the way back starts there."""
    ended = 0
    for address, curve in (await curves_of(world, reader)).items():
        pool = world.pools[address.lower()]
        for falls in (True, False, True):
            sold, bought = curve.tokens if falls else curve.tokens[::-1]
            ladder = curve.depth.down if falls else curve.depth.up
            first = ladder.first_stop(curve.position)
            if first is None:
                continue
            ladder.grow()
            index = min(first + 1, len(ladder.prices) - 1)
            probe = last_amount_before(curve, sold, ladder.prices[index], falls=falls)
            for extra in (0, 1, 2):
                trade = curve.sold(sold, probe + extra) if probe + extra > 0 else None
                if trade is None:
                    continue
                told = world.quoted_in(sold, bought, curve.fee, probe + extra)
                assert told == (trade.amount_out, trade.after.position.price)
                ended += trade.after.position.price == ladder.prices[index]
            trade = curve.sold(sold, probe + 1)
            if trade is not None:
                assert world.swap(pool, falls, probe + 1) == (probe + 1, trade.amount_out)
                curve = trade.after  # noqa: PLW2901 - the pool has moved on too
                assert pool.call("slot0")[1] == curve.position.tick
    assert ended >= 5


def last_amount_before(curve: UniswapV3Curve, sold: str, price: int, *, falls: bool) -> int:
    """Return the greatest amount that does not reach a price."""
    low, high = 0, 2**140
    while low < high:
        middle = (low + high + 1) // 2
        trade = curve.sold(sold, middle)
        if trade is None:
            reached = True
        else:
            after = trade.after.position.price
            reached = after <= price if falls else after >= price
        low, high = (low, middle - 1) if reached else (middle, high)
    return low


async def test_an_older_block_stays_as_it_was(world: World, reader: NodeReader) -> None:
    """A read pinned to an older block gives that block's curves, whatever happened since."""
    venue, before = venue_of(world, reader), await basis_now(reader)
    old = (await venue.exits(pairs_of(world), before)).curves
    address, curve = next(iter(old.items()))
    world.mint(world.pools[address.lower()], -6000, 6000, 10**20)
    world.swap(world.pools[address.lower()], True, 10**6)  # noqa: FBT003 - as the pool names it
    again = (await venue.exits(pairs_of(world), before)).curves
    now = (await venue.exits(pairs_of(world), await basis_now(reader))).curves
    assert again[address].position == curve.position
    assert again[address].sold(curve.tokens[0], 10**5) is not None
    assert now[address].position != curve.position


async def test_known_pools_cost_one_request_per_block(world: World, reader: NodeReader) -> None:
    """Once the pools are known, a block's exits take a single call of the node."""
    venue = venue_of(world, reader)
    await venue.exits(pairs_of(world), await basis_now(reader))
    world.node.rpc("evm_mine")
    basis = await basis_now(reader)
    before = reader.requests.total()
    await venue.exits(pairs_of(world), basis)
    assert reader.requests.total() - before == 1


async def test_pools_without_liquidity_have_no_route(world: World, reader: NodeReader) -> None:
    """The empty pool is known to the factory and absent from curves, routes and lenders."""
    exits = await venue_of(world, reader).exits(pairs_of(world), await basis_now(reader))
    a, c = checksum(world.tokens[0].address), checksum(world.tokens[2].address)
    empty = checksum(world.factory.call("getPool", a, c, 500))
    assert empty not in exits.curves
    assert all(empty not in route.pools for each in exits.routes.values() for route in each)
    assert all(lender.lender != empty for each in exits.lenders.values() for lender in each)


async def test_a_fee_tier_that_only_the_logs_name_is_found(
    world: World, reader: NodeReader
) -> None:
    """The factory's owner enabled 1700: its pools are routes like any other."""
    exits = await venue_of(world, reader).exits(pairs_of(world), await basis_now(reader))
    assert 1700 in {hop.fee for each in exits.routes.values() for r in each for hop in r.hops}


async def test_plain_calls_read_the_same_as_the_lens(world: World, reader: NodeReader) -> None:
    """A node that refuses the lens gives the same pools."""
    basis = await basis_now(reader)
    directory = PoolDirectory(reader, checksum(world.factory.address), 0)
    found = await directory.pools([ordered(a, b) for a, b in pairs_of(world)], basis)
    pools = [pool for each in found.values() for pool in each if pool.spacing > 1]
    lensed = await Lens(reader).states(pools, basis)
    plain = await plain_states(reader, pools, basis)
    assert lensed.keys() == plain.keys()
    for address, state in lensed.items():
        other = plain[address]
        assert (state.price, state.tick, state.liquidity, state.balances, state.words) == (
            other.price, other.tick, other.liquidity, other.balances, other.words,
        )  # fmt: skip
        assert sorted(state.net_liquidity()) == sorted(other.net_liquidity())


async def test_flash_fees_are_the_pools_own(world: World, reader: NodeReader) -> None:
    """The pool takes the fee that the lender states, and refuses one wei less."""
    exits = await venue_of(world, reader).exits(pairs_of(world), await basis_now(reader))
    token = checksum(world.tokens[0].address)
    lender = exits.lenders[token][0]
    lent = min(lender.available, 1_000_003)
    balance = world.tokens[0].call("balanceOf", lender.lender)
    assert lender.available == balance
    world.trader.send("flash", lender.lender, lent, 0)
    assert world.tokens[0].call("balanceOf", lender.lender) - balance == lender.fee(lent)
    with pytest.raises(RpcRefused):
        world.trader.send("flash", lender.lender, lent, 1)


async def test_the_quoter_names_the_wrapped_native_coin(world: World, reader: NodeReader) -> None:
    """The wrapped native coin is what the quoter was deployed with."""
    assert await venue_of(world, reader).wrapped_native() == checksum(world.weth)


def test_the_committed_lens_is_what_its_source_compiles_to() -> None:
    """A rebuild with the settings beside the bytecode gives the same bytes."""
    kept = json.loads((ROOT / "contracts/abi/UniswapV3Lens.json").read_text())
    unit = "src/lens/UniswapV3Lens.sol"
    built = compile_solidity({unit: ROOT / "contracts" / unit}, settings=kept["settings"])
    artifact = built[unit]["UniswapV3Lens"]
    assert kept["bytecode"] == "0x" + artifact["evm"]["bytecode"]["object"]
    assert kept["abi"] == artifact["abi"]


async def test_kept_facts_spare_the_factorys_logs_and_tiers(
    world: World, reader: NodeReader
) -> None:
    """What a factory enabled is enabled for ever; a later process finds the same routes."""
    first, basis, head = venue_of(world, reader), await basis_now(reader), await reader.head()
    assert first.chain_facts() == ""
    await first.learn_facts(basis)
    facts = first.chain_facts()
    expected = await first.exits(pairs_of(world), basis)

    second = venue_of(world, reader)
    second.restore_facts(facts, head)
    before = reader.requests.copy()
    found = await second.exits(pairs_of(world), basis)
    asked = reader.requests - before
    assert await second.wrapped_native() == checksum(world.weth)

    assert found.routes == expected.routes
    assert second.chain_facts() == facts
    assert asked == {"eth_call": 2}  # which pools there are, and their state
    assert reader.requests - before == asked


async def test_old_facts_have_new_tiers_looked_for(world: World, reader: NodeReader) -> None:
    """From the block on to which the logs were read."""
    first, head = venue_of(world, reader), await reader.head()
    await first.learn_facts(await basis_now(reader))
    facts = json.loads(first.chain_facts())
    facts["tiers"]["read_at"] = str(head.number - TIERS_HOLD - 1)
    facts["tiers"]["spacings"].pop(max(facts["tiers"]["spacings"]))

    second = venue_of(world, reader)
    second.restore_facts(json.dumps(facts), head)
    await second.learn_facts(await basis_now(reader))

    again = json.loads(second.chain_facts())["tiers"]
    assert again["spacings"] == json.loads(first.chain_facts())["tiers"]["spacings"]
    assert again["read_at"] == str(head.number)


@pytest.mark.parametrize("facts", ["{}", "[]", "null", "none", '{"factory": "0x1"}'])
async def test_what_are_no_facts_is_refused(world: World, reader: NodeReader, facts: str) -> None:
    """The factory is asked then."""
    with pytest.raises(ValueError, match=r".*"):
        venue_of(world, reader).restore_facts(facts, await reader.head())


async def test_the_facts_of_another_factory_are_refused(world: World, reader: NodeReader) -> None:
    """Settings that name another exchange at the same place."""
    first = venue_of(world, reader)
    await first.learn_facts(await basis_now(reader))
    other = build(Options(factory=world.quoter.address, quoter=world.quoter.address), reader=reader)

    with pytest.raises(ValueError, match="this is"):
        other.restore_facts(first.chain_facts(), await reader.head())
