"""Uniswap v3 as an exit venue."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from keeper.audit.canonical import canonical
from keeper.chain.abi import address_at, calldata, checksum, word
from keeper.domain.curve import Route
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis, Head
from keeper.domain.opportunity import FlashLender
from keeper.domain.reads import Call
from keeper.domain.units import Address, TokenUnits
from keeper.ports import ChainReader, ExecutorTargets
from keeper.quotes.uniswap_v3.curve import UniswapV3Curve
from keeper.quotes.uniswap_v3.depth import WORD_BITS, Depth, Position
from keeper.quotes.uniswap_v3.lenders import PoolLender
from keeper.quotes.uniswap_v3.lens import Lens, PoolState
from keeper.quotes.uniswap_v3.pools import Pool, PoolDirectory, TokenPair
from keeper.quotes.uniswap_v3.routes import pairs_of_pools, routes_between
from keeper.quotes.uniswap_v3.tick_math import tick_at_sqrt_ratio

KIND: Final = "uniswap_v3"


class UniswapV3Venue:
    """The pools of one factory. Sends one request per block once the pools are known."""

    def __init__(
        self,
        reader: ChainReader,
        *,
        factory: Address,
        quoter: Address,
        via: Sequence[Address] = (),
        from_block: int | None = None,
    ) -> None:
        """Send no request yet. ``from_block`` is the first block of the factory's logs."""
        self._reader, self._factory, self._quoter = reader, factory, quoter
        self._via = tuple(via)
        self._directory = PoolDirectory(reader, factory, from_block)
        self._lens = Lens(reader)
        self._wrapped: Address | None = None
        self._depths = dict[Address, tuple[tuple[bytes, tuple[int, int]], Depth]]()

    @property
    def kind(self) -> str:
        """The venue's name in the settings."""
        return KIND

    def executor_targets(self) -> ExecutorTargets:
        """Return the factory that the executor checks pools against."""
        return ExecutorTargets(factories=(self._factory,))

    async def exits(self, pairs: Collection[Pair], basis: Basis) -> Exits:
        """
        Return every route for the pairs, direct or through one token, over exact curves.

        Pools without liquidity are left out, and a pair of the same token has no
        route. Raises what the reader raises.
        """
        found = await self._directory.pools(pairs_of_pools(pairs, self._via), basis)
        pools = [pool for each in found.values() for pool in each]
        states = await self._lens.states(pools, basis)
        curves = dict[Address, UniswapV3Curve]()
        for pool in pools:
            if pool.address in states:
                curve = self._build_curve(pool, states[pool.address])
                if not curve.depth.empty:
                    curves[pool.address] = curve
        live: dict[TokenPair, list[Pool]] = {
            pair: [pool for pool in each if pool.address in curves] for pair, each in found.items()
        }
        routes = {
            pair: routes_between(KIND, self._factory, pair, self._via, live) for pair in pairs
        }
        factories = {pool.address: self._factory for pool in pools}
        return Exits(
            routes=routes, curves=curves, lenders=_list_lenders(pools, states), factories=factories
        )

    async def confirmed(self, route: Route, amount_in: TokenUnits, basis: Basis) -> TokenUnits:
        """Fetch the sale's output amount from QuoterV2.

        Raises:
            RpcRefused: the sale reverts (a pool without depth), or any error of the reader.
        """
        if not route.hops:
            return amount_in
        path = bytes.fromhex(route.hops[0].token_in[2:])
        for hop in route.hops:
            path += hop.fee.to_bytes(3) + bytes.fromhex(hop.token_out[2:])
        data = calldata("quoteExactInput(bytes,uint256)", path, amount_in)
        return TokenUnits(
            word(await self._reader.call(Call(target=self._quoter, data=data), basis), 0)
        )

    async def wrapped_native(self) -> Address:
        """Fetch the wrapped native coin of the venue's quoter, once."""
        if self._wrapped is None:
            basis = Basis(block_hash=(await self._reader.head()).hash)
            question = Call(target=self._quoter, data=calldata("WETH9()"))
            self._wrapped = address_at(await self._reader.call(question, basis), 0)
        return self._wrapped

    async def learn_facts(self, basis: Basis) -> None:
        """Fetch the fee tiers and the wrapped coin (``KeepsFacts``)."""
        await self._directory.learn(basis)
        await self.wrapped_native()

    def chain_facts(self) -> str:
        """Return the fee tiers and the wrapped coin (``KeepsFacts``)."""
        tiers = self._directory.facts()
        if not tiers:  # half of them would be written over all of them
            return ""
        own = {"factory": self._factory, "quoter": self._quoter, "wrapped": self._wrapped}
        return canonical({**own, "tiers": tiers})

    def restore_facts(self, facts: str, head: Head) -> None:
        """Restore stored facts. ValueError if they belong to another factory or are invalid."""
        document = json.loads(facts)
        try:
            if (document["factory"], document["quoter"]) != (self._factory, self._quoter):
                raise ValueError(f"this is {document['factory']}")
            self._wrapped = None if document["wrapped"] is None else checksum(document["wrapped"])
            self._directory.restore(document["tiers"], head)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"these are no facts of a venue: {error}") from error

    def _build_curve(self, pool: Pool, state: PoolState) -> UniswapV3Curve:
        """Build the pool's curve.

        Its sums are reused between blocks while its ticks are unchanged.
        """
        key = (state.ticks, state.words)
        known = self._depths.get(pool.address)
        if known is not None and known[0] == key and known[1].active(state.tick) == state.liquidity:
            depth = known[1]
        else:
            per_word = WORD_BITS * pool.spacing
            depth = Depth(
                ticks=state.net_liquidity(),
                tick=state.tick,
                liquidity=state.liquidity,
                spacing=pool.spacing,
                fee=pool.fee,
                lowest=state.words[0] * per_word,
                highest=(state.words[1] + 1) * per_word - pool.spacing,
            )
            self._depths[pool.address] = (key, depth)
        below = state.tick < tick_at_sqrt_ratio(state.price)
        return UniswapV3Curve(
            pool=pool.address,
            tokens=pool.tokens,
            fee=pool.fee,
            depth=depth,
            position=Position(state.price, below=below),
        )


def _list_lenders(
    pools: Iterable[Pool], states: Mapping[Address, PoolState]
) -> dict[Address, tuple[FlashLender, ...]]:
    """Return the pools in range that lend each token, cheapest first."""
    by_token = dict[Address, list[PoolLender]]()
    for pool in pools:
        state = states.get(pool.address)
        if state is None or not state.liquidity:
            continue
        for token, available in zip(pool.tokens, state.balances, strict=True):
            if available:
                by_token.setdefault(token, []).append(
                    PoolLender(
                        lender=pool.address, token=token, pool_fee=pool.fee, available=available
                    )
                )
    lenders = dict[Address, tuple[FlashLender, ...]]()
    for token, each in by_token.items():
        each.sort(key=lambda lender: (lender.pool_fee, -lender.available))
        lenders[token] = tuple(each)
    return lenders
