"""A Uniswap v3 pool at one block as an exit curve, equal to the pool's own swaps to the wei."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

from keeper.domain.curve import Trade
from keeper.domain.units import Address, Pips, TokenUnits
from keeper.quotes.uniswap_v3.depth import Depth, Ladder, Position
from keeper.quotes.uniswap_v3.swap_math import step_in, step_out, whole_step

_INT256_MAX: Final = 2**255 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UniswapV3Curve:
    """One pool at one block. ``after`` of a trade shares everything with it except the position.

    A swap that the known ticks cannot fill completely is None, never a partial fill. An amount of
    zero is an empty trade (the pool itself would refuse it).
    """

    pool: Address
    tokens: tuple[Address, Address]
    fee: Pips
    depth: Depth
    position: Position

    def sold(self, token_in: Address, amount_in: TokenUnits) -> Trade | None:
        """Return the trade that sells exactly ``amount_in``. None if the depth is insufficient.

        Rounds as ``UniswapV3Pool.swap`` does, the input up and the output down, at every tick and
        at every end of a word of the tick bitmap.

        Raises:
            ValueError: the pool does not have the token, or the amount is negative.
        """
        return self._compute_trade(amount_in, zero_for_one=self._is_first(token_in), exact_in=True)

    def bought(self, token_out: Address, amount_out: TokenUnits) -> Trade | None:
        """Return the trade that buys exactly ``amount_out``. None if the depth is insufficient.

        Raises:
            ValueError: the pool does not have the token, or the amount is negative.
        """
        return self._compute_trade(
            amount_out, zero_for_one=not self._is_first(token_out), exact_in=False
        )

    def _is_first(self, token: Address) -> bool:
        """Return whether the token is the pool's token0."""
        if token not in self.tokens:
            raise ValueError(f"the pool {self.pool} does not trade {token}")
        return token == self.tokens[0]

    def _compute_trade(self, amount: int, *, zero_for_one: bool, exact_in: bool) -> Trade | None:
        """Return the exact trade for an amount of either side."""
        if not 0 < amount <= _INT256_MAX:
            return self._build_empty_trade(amount)
        ladder = self.depth.down if zero_for_one else self.depth.up
        first = ladder.first_stop(self.position)
        if first is None:
            return None
        taken, paid = whole_step(
            self.position.price,
            ladder.prices[first],
            ladder.liquidity[first],
            self.fee,
            zero_for_one=zero_for_one,
        )
        given = taken if exact_in else paid
        if amount < given:
            end = _compute_partial_step(
                ladder, self.position, first, amount, self.fee, exact_in=exact_in
            )
            return self._trade(*end)
        sums = ladder.sum_in if exact_in else ladder.sum_out
        wanted = amount - given + sums[first]
        while sums[-1] < wanted:
            if not ladder.grow():
                return None
        last = bisect_left(sums, wanted, first)
        reached = last if sums[last] == wanted else last - 1
        taken += ladder.sum_in[reached] - ladder.sum_in[first]
        paid += ladder.sum_out[reached] - ladder.sum_out[first]
        crossed = ladder.crossed[reached] - (ladder.crossed[first - 1] if first else 0)
        position = ladder.position_at(reached)
        if reached == last:
            return self._trade(position, taken, paid, crossed)
        rest = wanted - sums[reached]
        end = _compute_partial_step(ladder, position, last, rest, self.fee, exact_in=exact_in)
        return self._trade(end[0], taken + end[1], paid + end[2], crossed + end[3])

    def _trade(self, position: Position, taken: int, paid: int, crossed: int) -> Trade:
        """Return the trade that leaves the pool at ``position``."""
        return Trade(
            amount_in=TokenUnits(taken),
            amount_out=TokenUnits(paid),
            after=UniswapV3Curve(
                pool=self.pool,
                tokens=self.tokens,
                fee=self.fee,
                depth=self.depth,
                position=position,
            ),
            ticks_crossed=crossed,
        )

    def _build_empty_trade(self, amount: int) -> Trade | None:
        """Return the empty trade for zero, and None for an amount above int256."""
        if amount < 0:
            raise ValueError("an amount is not negative")
        return None if amount else self._trade(self.position, 0, 0, 0)


def _compute_partial_step(
    ladder: Ladder, start: Position, stop: int, amount: int, fee: int, *, exact_in: bool
) -> tuple[Position, int, int, int]:
    """Compute a swap that ends before the next stop.

    Returns the position afterwards, the input, the output and the ticks crossed. With exact output
    rounding can bring the price to the stop, which is crossed then.
    """
    liquidity, falling = ladder.liquidity[stop], ladder.zero_for_one
    if exact_in:
        price, paid = step_in(start.price, liquidity, amount, fee, zero_for_one=falling)
        taken = amount
    else:
        price, taken = step_out(start.price, liquidity, amount, fee, zero_for_one=falling)
        paid = amount
    if price == ladder.prices[stop]:
        return ladder.position_at(stop), taken, paid, ladder.crosses(stop)
    moved = price != start.price
    return Position(price, below=start.below and not moved), taken, paid, 0
