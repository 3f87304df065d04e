"""Exit depth, the amount of a token that pools buy at a sufficient price."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.curve import CurveBook, Route, sold_along
from keeper.domain.units import TokenUnits
from keeper.domain.value import TokenPrice

DOUBLINGS: Final = 120
PRECISION: Final = 1 << 10
"""Relative precision of the depth, as a divisor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sale:
    """A sale's tokens and its minimum proceeds.

    ``least`` is a fraction (numerator, denominator) of the sale's worth at the two prices, which
    are in one currency. It is 100/105 where a bonus of 5 % pays for the difference.
    """

    sold: TokenPrice
    bought: TokenPrice
    least: tuple[int, int]

    def suffices(self, amount_in: int, amount_out: int) -> bool:
        """Whether the sale earns at least its minimum."""
        numerator, denominator = self.least
        worth = amount_in * self.sold.price * int(10**self.bought.decimals) * numerator
        brings = amount_out * self.bought.price * int(10**self.sold.decimals) * denominator
        return brings >= worth


def exit_depth(sale: Sale, routes: Sequence[Route], curves: CurveBook) -> TokenUnits:
    """Return the largest amount that the routes buy at the minimum average price.

    Routes are used once each, deepest first, over the pools as earlier routes leave them. Rounded
    down.
    """
    book = dict(curves)
    waiting, total = list(routes), 0
    while waiting:
        found = [(_find_route_depth(sale, route, book), at) for at, route in enumerate(waiting)]
        amount, at = max(found, key=lambda one: (one[0], -one[1]))
        if not amount:
            break
        trade = sold_along(waiting.pop(at), TokenUnits(amount), book)
        if trade is not None:
            book.update(trade.after)
        total += amount
    return TokenUnits(total)


def _find_route_depth(sale: Sale, route: Route, curves: CurveBook) -> int:
    """Return the largest sufficient sale along one route, by bisection."""

    def sells(amount: int) -> bool:
        trade = sold_along(route, TokenUnits(amount), curves)
        return trade is not None and sale.suffices(amount, trade.amount_out)

    low = max(1, int(10**sale.sold.decimals) // 1_000)
    if not sells(low):
        return 0
    for _ in range(DOUBLINGS):
        if not sells(2 * low):
            break
        low *= 2
    high = 2 * low
    while high - low > max(1, low // PRECISION):
        middle = (low + high) // 2
        low, high = (middle, high) if sells(middle) else (low, middle)
    return low
