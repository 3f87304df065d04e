"""Liquidity of a pool between its initialised ticks.

A pool searches initialised ticks in words of 256 bits, stops at the end of every word, and rounds
there. The stops of a direction are the same wherever a swap starts, so the amounts between them are
summed once per pool and block, on demand. A swap then is a search in the sums and two partial
steps.

Source: Uniswap/v3-core ``UniswapV3Pool.swap`` and ``libraries/TickBitmap.sol``.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from keeper.quotes.uniswap_v3.swap_math import whole_step
from keeper.quotes.uniswap_v3.tick_math import (
    HIGHEST_PRICE,
    LOWEST_PRICE,
    MAX_TICK,
    MIN_TICK,
    sqrt_ratio_at_tick,
    tick_at_sqrt_ratio,
)

WORD_BITS: Final = 256


@dataclass(frozen=True, slots=True)
class Position:
    """A pool's price, and its side of a tick that equals the price.

    ``below`` means that the price fell through the tick and the pool counts as below it. Otherwise
    the price alone determines the tick.
    """

    price: int
    below: bool

    @property
    def tick(self) -> int:
        """The pool's ``slot0.tick``."""
        return tick_at_sqrt_ratio(self.price) - self.below


class Depth:
    """The liquidity of one pool over the ticks from ``lowest`` to ``highest``.

    Ticks outside are unknown, so every swap ends there. The whole range is ``MIN_TICK`` to
    ``MAX_TICK``.
    """

    __slots__ = ("down", "fee", "highest", "liquidity", "lowest", "spacing", "ticks", "up")

    def __init__(
        self,
        *,
        ticks: Iterable[tuple[int, int]],
        tick: int,
        liquidity: int,
        spacing: int,
        fee: int,
        lowest: int = MIN_TICK,
        highest: int = MAX_TICK,
    ) -> None:
        """Build the depth from ticks with net liquidity and the active liquidity at ``tick``."""
        known = sorted(ticks)
        self.ticks = [at for at, _ in known]
        self.spacing, self.fee = spacing, fee
        self.lowest, self.highest = max(lowest, MIN_TICK), min(highest, MAX_TICK)
        here = bisect_right(self.ticks, tick)
        running = liquidity - sum(net for _, net in known[:here])
        self.liquidity = [running]
        for _, net in known:
            running += net
            self.liquidity.append(running)
        self.down, self.up = Ladder(self, zero_for_one=True), Ladder(self, zero_for_one=False)

    @property
    def empty(self) -> bool:
        """Whether all known liquidity is zero."""
        return not any(self.liquidity)

    @property
    def below_all(self) -> int:
        """The liquidity below the lowest known tick."""
        return self.liquidity[0]

    def net_liquidity(self) -> tuple[tuple[int, int], ...]:
        """Return the known ticks with their net liquidity (added by a rising price)."""
        pairs = zip(self.ticks, self.liquidity, self.liquidity[1:], strict=False)
        return tuple((at, after - before) for at, before, after in pairs)

    def active(self, tick: int) -> int:
        """Return the liquidity active at a tick."""
        return self.liquidity[bisect_right(self.ticks, tick)]

    def initialised(self, tick: int) -> bool:
        """Return whether the tick is initialised."""
        at = bisect_left(self.ticks, tick)
        return at < len(self.ticks) and self.ticks[at] == tick

    def stop_below(self, tick: int) -> int | None:
        """Return the stop of a falling price at or below ``tick``. None beyond the known ticks."""
        at = bisect_right(self.ticks, tick)
        stop = self.ticks[at - 1] if at else None
        if self.liquidity[at]:
            word = max((tick // self.spacing & -WORD_BITS) * self.spacing, MIN_TICK)
            stop = word if stop is None else max(stop, word)
        return stop if stop is not None and stop >= self.lowest else None

    def stop_above(self, tick: int) -> int | None:
        """Return the stop of a rising price above ``tick``. None beyond the known ticks."""
        at = bisect_right(self.ticks, tick)
        stop = self.ticks[at] if at < len(self.ticks) else None
        if self.liquidity[at]:
            last = (tick // self.spacing + 1 | WORD_BITS - 1) * self.spacing
            stop = min(last, MAX_TICK) if stop is None else min(stop, last)
        return stop if stop is not None and stop <= self.highest else None


class Ladder:
    """Stops of one swap direction, with the sums of the steps between them.

    Grows on demand at its far end, and restarts for a position before its first stop. ``keys`` are
    prices, negated for a falling one, so that they rise in the direction of the swap.
    """

    _next: int
    _start: tuple[float, bool]
    _ended: bool
    keys: list[int]
    prices: list[int]
    liquidity: list[int]
    sum_in: list[int]
    sum_out: list[int]
    crossed: list[int]

    def __init__(self, depth: Depth, *, zero_for_one: bool) -> None:
        """Start without stops."""
        self._depth, self.zero_for_one = depth, zero_for_one
        self._clear(0, (math.inf, True))

    def first_stop(self, position: Position) -> int | None:
        """Return the index of the first stop ahead of a position. None beyond the known ticks."""
        key = -position.price if self.zero_for_one else position.price
        passed = position.below == self.zero_for_one
        if (key, passed) < self._start:
            self._clear(position.tick, (key, passed))
        find = bisect_right if passed else bisect_left
        while (index := find(self.keys, key)) == len(self.keys):
            if not self.grow():
                return None
        return index

    def grow(self) -> bool:
        """Append one stop. Return False if no further stop is known."""
        here, stop = self._next, None if self._ended else self._find_next_stop(self._next)
        if stop is None:
            return False
        price = self._compute_stop_price(stop)
        liquidity = self._depth.active(here)
        if self.prices:
            taken, paid = whole_step(
                self.prices[-1],
                price,
                liquidity,
                self._depth.fee,
                zero_for_one=self.zero_for_one,
            )
            crossed = self.crossed[-1]
        else:
            taken = paid = crossed = 0
        self._ended = stop in (MIN_TICK, MAX_TICK)
        crossed += self._depth.initialised(stop) and not self._ended
        self._append(price, liquidity, taken, paid, crossed)
        self._next = stop - 1 if self.zero_for_one else stop
        return True

    def position_at(self, index: int) -> Position:
        """Return the position after a swap that ends exactly at a stop, which it crosses."""
        price = self.prices[index]
        return Position(price, below=self.zero_for_one and price != LOWEST_PRICE)

    def crosses(self, index: int) -> int:
        """Return 1 where the stop is an initialised tick, else 0."""
        return self.crossed[index] - (self.crossed[index - 1] if index else 0)

    def _append(self, price: int, liquidity: int, taken: int, paid: int, crossed: int) -> None:
        """Append a stop at ``price``, reached with ``liquidity``."""
        self.sum_in.append((self.sum_in[-1] if self.sum_in else 0) + taken)
        self.sum_out.append((self.sum_out[-1] if self.sum_out else 0) + paid)
        self.keys.append(-price if self.zero_for_one else price)
        self.prices.append(price)
        self.liquidity.append(liquidity)
        self.crossed.append(crossed)

    def _clear(self, tick: int, start: tuple[float, bool]) -> None:
        """Remove all stops. The next one is the one ahead of ``tick`` at the position ``start``."""
        self._next, self._start = tick, start
        self._ended = False
        self.keys, self.prices, self.liquidity = [], [], []
        self.sum_in, self.sum_out, self.crossed = [], [], []

    def _find_next_stop(self, tick: int) -> int | None:
        """Return the next stop of this direction."""
        return (self._depth.stop_below if self.zero_for_one else self._depth.stop_above)(tick)

    def _compute_stop_price(self, stop: int) -> int:
        """Return the price of a stop. Both ends of the range are one step inside."""
        return min(max(sqrt_ratio_at_tick(stop), LOWEST_PRICE), HIGHEST_PRICE)
