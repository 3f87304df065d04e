"""Secondary prices read along with a block, from feeds and time-weighted pool prices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.chain.abi import address_at, decoded, signed_word, word
from keeper.chain.asking import ask
from keeper.config.margin import Second
from keeper.domain.errors import RpcMalformed
from keeper.domain.head import Head
from keeper.domain.oracle import SecondPrice
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, MarketKey
from keeper.domain.value import TokenPrice
from keeper.ports import MarketSnapshot
from keeper.quotes.uniswap_v3.tick_math import MAX_TICK, sqrt_ratio_at_tick

CALLS: Final = 3
"""Number of reads per source."""
MOST_DECIMALS: Final = 77
_SQUARE_BITS: Final = 192

Prices = Mapping[MarketKey, Mapping[Address, tuple[SecondPrice, ...]]]


@dataclass(slots=True)
class SecondSources:
    """Secondary price sources of the settings, a ``Rider`` on the block's reads.

    A failed or non-positive answer gives no price, and callers do without it.
    """

    wanted: Sequence[Second]
    _answers: Sequence[Sequence[CallResult]] = field(default_factory=list)

    def calls(self, head: Head) -> Sequence[Call]:  # noqa: ARG002 (the same at every block)
        """Build the reads of every source."""
        return [call for one in self.wanted for call in _build_source_calls(one)]

    def apply(self, head: Head, results: Sequence[CallResult]) -> None:  # noqa: ARG002
        """Store the answers."""
        self._answers = [results[at : at + CALLS] for at in range(0, len(results), CALLS)]

    def prices(self, snapshots: Sequence[MarketSnapshot]) -> Prices:
        """Return the sources' prices of each market's tokens, in its own unit."""
        found = dict[MarketKey, dict[Address, tuple[SecondPrice, ...]]]()
        for snapshot in snapshots:
            of_market = found.setdefault(snapshot.market, {})
            for one, answers in zip(self.wanted, self._answers, strict=False):
                if one.token in snapshot.prices:
                    price = _compute_price(one, answers, snapshot)
                    told = SecondPrice(source=_format_source(one), price=price)
                    of_market[one.token] = (*of_market.get(one.token, ()), told)
        return found


def _format_source(one: Second) -> str:
    return f"feed {one.feed}" if one.feed else f"pool {one.pool} over {one.window_seconds} s"


def _build_source_calls(one: Second) -> list[Call]:
    if one.feed is not None:
        answer = ask(one.feed, "latestRoundData()")
        return [answer, ask(one.feed, "decimals()"), ask(one.feed, "decimals()")]
    pool = one.pool or Address("")
    observed = ask(pool, "observe(uint32[])", [one.window_seconds, 0])
    return [observed, ask(pool, "token0()"), ask(pool, "token1()")]


def _compute_price(
    one: Second, answers: Sequence[CallResult], snapshot: MarketSnapshot
) -> int | None:
    if len(answers) < CALLS or not all(answer.success for answer in answers):
        return None
    try:
        if one.feed is not None:
            return _decode_feed_price(answers, snapshot.base_unit)
        return _compute_pool_price(one, answers, snapshot.prices)
    except RpcMalformed:
        return None


def _decode_feed_price(answers: Sequence[CallResult], base_unit: int) -> int | None:
    answer, decimals = signed_word(answers[0].data, 1), word(answers[1].data, 0)
    if answer <= 0 or decimals > MOST_DECIMALS:
        return None
    return answer * base_unit // 10**decimals or None


def _compute_pool_price(
    one: Second, answers: Sequence[CallResult], prices: Mapping[Address, TokenPrice]
) -> int | None:
    """Compute the pool's time-weighted price of the token, from the other token's price.

    The mean tick is rounded down, like ``OracleLibrary.consult`` of v3-periphery 1.4.4.
    """
    cumulative = decoded(("int56[]", "uint160[]"), answers[0].data, "observe")[0]
    pair = (address_at(answers[1].data, 0), address_at(answers[2].data, 0))
    quote = prices.get(pair[1] if pair[0] == one.token else pair[0])
    if len(cumulative) != len(pair) or quote is None or one.token not in pair:
        return None
    tick = (cumulative[1] - cumulative[0]) // one.window_seconds
    if abs(tick) > MAX_TICK:
        return None
    square = sqrt_ratio_at_tick(tick) ** 2
    up, down = (square, 1 << _SQUARE_BITS) if pair[0] == one.token else (1 << _SQUARE_BITS, square)
    whole = 10 ** prices[one.token].decimals
    return whole * up * quote.price // (down * 10**quote.decimals) or None
