"""First prices of routes on the residual depth, to estimate a stale option's loss."""

from collections.abc import Mapping
from typing import Final

from keeper.domain.curve import Route, sold_along
from keeper.domain.units import Address, TokenUnits, Wei
from keeper.strategy.candidate import Terms
from keeper.strategy.remaining import Depth, Remaining
from keeper.strategy.sizing import Sized

_SCALE: Final = 1 << 96
_SAMPLE_SHARE: Final = 1 << 10
"""Sample of a route's price, as a divisor of the first sale sized along it."""


RouteKey = tuple[Address, ...]
"""The token sold first, then the route's pools."""


class SpotPrices:
    """Prices of routes, each computed once while its pools are unchanged.

    A price is ``_SCALE`` times the spend token's units per unit received, rounded down.
    """

    def __init__(self) -> None:
        self._routes: dict[RouteKey, tuple[Route, TokenUnits]] = {}
        self._prices: dict[RouteKey, tuple[int, int | None]] = {}

    def key(self, result: Sized) -> RouteKey | None:
        """Register a sized option's route and return its key. None if nothing is sold."""
        route = result.way.route
        if not route.hops:
            return None
        key = (route.hops[0].token_in, *route.pools)
        sample = TokenUnits(max(1, result.priced.outcome.receive // _SAMPLE_SHARE))
        self._routes.setdefault(key, (route, sample))
        return key

    def price(self, key: RouteKey, remaining: Remaining, used: Mapping[Depth, int]) -> int | None:
        """Return a route's price on the residual depth. None if the sample does not sell."""
        turn = max(used.get(pool, 0) for pool in key[1:])
        cached = self._prices.get(key)
        if cached is not None and cached[0] == turn:
            return cached[1]
        price = _compute_price(*self._routes[key], remaining)
        self._prices[key] = (turn, price)
        return price


def estimate_net(result: Sized, before: int | None, now: int | None, terms: Terms) -> Wei | None:
    """Estimate a stale option's net profit. None if it cannot be estimated or has risen.

    To first order the best amount's profit falls by the sold amount times the fall of the price,
    and the best amount stays the same.
    """
    if before is None or now is None or now >= before:
        return None
    lost = TokenUnits(result.priced.outcome.receive * (before - now) // _SCALE)
    token = result.way.opportunity.spend_token
    return Wei(result.net - terms.valuation.wei_floor(token, lost))


def _compute_price(route: Route, sample: TokenUnits, remaining: Remaining) -> int | None:
    sale = sold_along(route, sample, remaining.curves)
    return None if sale is None else sale.amount_out * _SCALE // sample
