"""Move prices through the real feeds, and the pools with them."""

from collections.abc import Mapping
from typing import Final

from keeper.devnet.artifacts import Contract
from keeper.devnet.assets import BY_SYMBOL, POOLS, RATIO_ASSET, RATIO_BASE, RATIO_CAP
from keeper.devnet.feeds import Feed
from keeper.devnet.node import Transaction
from keeper.devnet.uniswap import Venue, aligning_swap
from keeper.domain.errors import ConfigError

_RATIO_UNIT: Final = 10**18
_LARGEST_PRICE: Final = 10**20


def set_prices(
    venue: Venue,
    tokens: Mapping[str, Contract],
    feeds: Mapping[str, Feed],
    changes: Mapping[str, int],
    *,
    leave_pools: bool = False,
) -> None:
    """Submit the changed prices (8 decimals) and swap the pools to them, all in one block."""
    transactions = price_transactions(venue, tokens, feeds, changes, leave_pools=leave_pools)
    venue.factory.node.send_all(transactions)


def price_transactions(
    venue: Venue,
    tokens: Mapping[str, Contract],
    feeds: Mapping[str, Feed],
    changes: Mapping[str, int],
    *,
    leave_pools: bool = False,
) -> list[Transaction]:
    """
    Return what changes the prices (8 decimals) and then swaps the pools to them.

    The ratio asset follows its base at the same ratio unless it is itself changed.

    Raises:
        ConfigError: as ``Devnet.set_prices``.
    """
    for symbol, price in changes.items():
        _check(symbol, price)
    now = current_prices(feeds)
    after = {**now, **changes}
    ratio = int(feeds[RATIO_ASSET].source.call("getRatio"))
    if RATIO_ASSET in changes:
        ratio = -(-changes[RATIO_ASSET] * _RATIO_UNIT // after[RATIO_BASE])
        if ratio > RATIO_CAP:
            raise ConfigError(f"{RATIO_ASSET} at that price is above its ratio cap")
    after[RATIO_ASSET] = after[RATIO_BASE] * min(ratio, RATIO_CAP) // _RATIO_UNIT
    transactions = [
        _update(feeds[symbol], symbol, price, ratio) for symbol, price in changes.items()
    ]
    if not leave_pools:
        swaps = (aligning_swap(venue, tokens, spec, after) for spec in POOLS)
        transactions += [swap for swap in swaps if swap is not None]
    return transactions


def current_prices(feeds: Mapping[str, Feed]) -> dict[str, int]:
    """Read every source's present price, 8 decimals."""
    return {symbol: int(feed.source.call("latestAnswer")) for symbol, feed in feeds.items()}


def _check(symbol: str, price: int) -> None:
    if symbol not in BY_SYMBOL:
        raise ConfigError(
            f"unknown token {symbol!r}", hint=f"the devnet lists {', '.join(BY_SYMBOL)}"
        )
    if not 0 < price < _LARGEST_PRICE:
        raise ConfigError(f"the price of {symbol} is out of range")


def _update(feed: Feed, symbol: str, price: int, ratio: int) -> Transaction:
    if symbol == RATIO_ASSET or feed.aggregator is None:
        return feed.source.transaction("setRatio", ratio)
    next_round = feed.aggregator.call("latestRound") + 1
    return feed.aggregator.transaction("submit", next_round, price)
