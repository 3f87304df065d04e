"""Comparisons and warnings of a pool's structure. No I/O."""

from keeper.domain.units import Address
from keeper.protocols.aave_v3.model import PoolState, Reserve, Structure


def tokens_of(reserve: Reserve) -> frozenset[Address | None]:
    """Return the contracts that logs about the reserve may name."""
    return frozenset(identity_and_tokens(reserve)[1:])


def changed_reserves(before: Structure, after: Structure) -> frozenset[int]:
    """Return the places in the bitmaps with changed, removed or new tokens."""
    old, new = (
        {identity_and_tokens(reserve) for reserve in each.reserves} for each in (before, after)
    )
    return frozenset(tokens[0] for tokens in old ^ new)


def identity_and_tokens(reserve: Reserve) -> tuple[int, Address, Address, Address, Address | None]:
    """Return the place in the bitmaps, the token, and its aToken and debt tokens."""
    return (
        reserve.identity,
        reserve.token,
        reserve.a_token,
        reserve.variable_token,
        reserve.stable_token,
    )


def warnings_of(pool: PoolState) -> tuple[str, ...]:
    """Return problems with parts of the market, one line each."""
    found = [
        f"the price source of {state.reserve.symbol} ({state.reserve.token}) fails"
        for state in pool.reserves.values()
        if state.price is None
    ]
    found += [
        f"the price source of eMode {category.identity} fails"
        for category in pool.categories.values()
        if category.has_price and category.price is None
    ]
    if not pool.structure.supported:
        found.append(f"pool revision {pool.structure.revision} is unknown: observed only")
    return tuple(found)
