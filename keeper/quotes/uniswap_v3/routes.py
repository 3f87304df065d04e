"""Routes between two tokens, direct or through one other token."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from keeper.domain.curve import Hop, Route
from keeper.domain.exits import Pair
from keeper.domain.units import Address
from keeper.quotes.uniswap_v3.pools import Pool, TokenPair, ordered


def pairs_of_pools(pairs: Collection[Pair], via: Sequence[Address]) -> list[TokenPair]:
    """Return the token pairs of the pools that routes of ``pairs`` may use, sorted.

    A pair of the same token needs no route, but a pool that lends the token.
    """
    wanted = set[TokenPair]()
    for sold, bought in pairs:
        if sold != bought:
            wanted.add(ordered(sold, bought))
        for between in _list_intermediates(sold, bought, via):
            wanted |= {ordered(sold, between), ordered(between, bought)}
    return sorted(wanted)


def routes_between(
    kind: str,
    factory: Address,
    pair: Pair,
    via: Sequence[Address],
    pools: Mapping[TokenPair, Sequence[Pool]],
) -> tuple[Route, ...]:
    """Return every route of the pair, direct ones first, then by ``via``, then by fee."""
    sold, bought = pair
    if sold == bought:
        return ()
    direct = [(hop,) for hop in _build_hops(sold, bought, pools)]
    indirect = [
        (first, second)
        for between in _list_intermediates(sold, bought, via)
        for first in _build_hops(sold, between, pools)
        for second in _build_hops(between, bought, pools)
    ]
    return tuple(Route(venue=kind, factory=factory, hops=hops) for hops in (*direct, *indirect))


def _list_intermediates(sold: Address, bought: Address, via: Sequence[Address]) -> list[Address]:
    """Return the intermediate tokens of possible routes with two hops."""
    return [token for token in dict.fromkeys(via) if token not in (sold, bought)]


def _build_hops(
    sold: Address, bought: Address, pools: Mapping[TokenPair, Sequence[Pool]]
) -> Iterator[Hop]:
    """Yield a hop for every pool of the two tokens."""
    for pool in pools.get(ordered(sold, bought), ()):
        yield Hop(pool=pool.address, token_in=sold, token_out=bought, fee=pool.fee)
