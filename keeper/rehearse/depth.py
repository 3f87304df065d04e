"""Virtual exit venue with a dollar pool of equal worth on both sides for every asset.

Pools are constant products with a fee. A pool returns to the recorded price one minute after its
last use, as if others traded. A sale passes the two pools of its tokens.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.curve import ExitCurve, Hop, Route, Trade, sold_along
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis
from keeper.domain.plan import Plan
from keeper.domain.units import PIPS, USD_E8, Address, BaseCurrency, Pips, TokenUnits

FEE: Final = Pips(500)
RECOVERY_SECONDS: Final = 60
KIND: Final = "constant_product"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductCurve:
    """``ExitCurve`` of a constant product. Output rounds down, input rounds up."""

    pool: Address
    tokens: tuple[Address, Address]
    reserves: tuple[int, int]
    fee: Pips = FEE

    def sold(self, token_in: Address, amount_in: TokenUnits) -> Trade | None:
        """Return the sale of exactly ``amount_in``."""
        here, there = self._order_reserves(token_in)
        taken = amount_in * (PIPS - self.fee) // PIPS
        out = there * taken // (here + taken)
        return self._build_trade(token_in, amount_in, out)

    def bought(self, token_out: Address, amount_out: TokenUnits) -> Trade | None:
        """Return the purchase of exactly ``amount_out``, None where the reserve is too small."""
        there, here = self._order_reserves(token_out)
        if amount_out >= there:
            return None
        taken = here * amount_out // (there - amount_out) + 1
        amount_in = -(-taken * PIPS // (PIPS - self.fee))
        sold = self.tokens[1] if token_out == self.tokens[0] else self.tokens[0]
        return self._build_trade(sold, amount_in, amount_out)

    def _order_reserves(self, token: Address) -> tuple[int, int]:
        first, second = self.reserves
        return (first, second) if token == self.tokens[0] else (second, first)

    def _build_trade(self, token_in: Address, amount_in: int, amount_out: int) -> Trade | None:
        if amount_in <= 0 or amount_out <= 0:
            return None
        first, second = self.reserves
        after = (
            (first + amount_in, second - amount_out)
            if token_in == self.tokens[0]
            else (first - amount_out, second + amount_in)
        )
        return Trade(
            amount_in=TokenUnits(amount_in),
            amount_out=TokenUnits(amount_out),
            after=ProductCurve(pool=self.pool, tokens=self.tokens, reserves=after, fee=self.fee),
            ticks_crossed=0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """An asset with its token, decimals and pool, and the pool's depth in dollars."""

    token: Address
    decimals: int
    depth_usd: int
    pool: Address


@dataclass(slots=True, kw_only=True)
class VirtualVenue:
    """``ExitVenue`` over these pools. Every asset is paired with ``dollar``."""

    assets: Mapping[Address, Asset]
    dollar: Address
    kind: str = KIND
    curves: dict[Address, ExitCurve] = field(default_factory=dict)
    used_at: int = 0

    def moved(self, prices: Mapping[Address, BaseCurrency], now: int) -> None:
        """Advance the pools to a block, and reset them to its prices after the recovery time."""
        if not self.curves or now - self.used_at >= RECOVERY_SECONDS:
            self.curves = {
                one.pool: self._build_curve(one, prices)
                for one in self.assets.values()
                if one.token != self.dollar
            }
            self.used_at = now

    def settle(self, plans: Iterable[Plan], now: int) -> None:
        """Apply the plans' sales to the pools."""
        for plan in plans:
            trade = sold_along(plan.route, plan.receive, self.curves)
            if trade is not None:
                self.curves.update(trade.after)
                self.used_at = now

    async def exits(self, pairs: Collection[Pair], basis: Basis) -> Exits:  # noqa: ARG002 - the port's
        """Return the single route of every pair, over the current pools."""
        routes = {pair: (route,) for pair in pairs if (route := self._find_route(pair)) is not None}
        return Exits(routes=routes, curves=dict(self.curves), lenders={})

    async def wrapped_native(self) -> Address:
        """Return the wrapped native coin, the first asset."""
        return next(iter(self.assets))

    async def confirmed(self, route: Route, amount_in: TokenUnits, basis: Basis) -> TokenUnits:
        """Raise NotImplementedError, since these pools have no second quote."""
        raise NotImplementedError

    def _find_route(self, pair: Pair) -> Route | None:
        sold, bought = pair
        if sold not in self.assets or bought not in self.assets:
            return None
        hops = [] if sold == self.dollar else [self._build_hop(sold, sold, self.dollar)]
        hops += [] if bought == self.dollar else [self._build_hop(bought, self.dollar, bought)]
        if sold == bought:
            hops = []
        return Route(venue=self.kind, factory=self.dollar, hops=tuple(hops))

    def _build_hop(self, of: Address, sold: Address, bought: Address) -> Hop:
        return Hop(pool=self.assets[of].pool, token_in=sold, token_out=bought, fee=FEE)

    def _build_curve(self, asset: Asset, prices: Mapping[Address, BaseCurrency]) -> ProductCurve:
        dollar = self.assets[self.dollar]
        held = asset.depth_usd * USD_E8 * int(10**asset.decimals) // prices[asset.token]
        dollars = asset.depth_usd * USD_E8 * int(10**dollar.decimals) // prices[self.dollar]
        return ProductCurve(
            pool=asset.pool, tokens=(asset.token, self.dollar), reserves=(held, dollars)
        )
