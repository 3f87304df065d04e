"""Curves and liquidity after the pending transactions of ours."""

from collections.abc import Sequence

from keeper.domain.curve import CurveBook, RouteTrade, bought_along, sold_along
from keeper.domain.opportunity import LiquidityKey
from keeper.domain.pending import PendingSale
from keeper.domain.units import TokenUnits
from keeper.strategy.remaining import Remaining


def less_pending(remaining: Remaining, sales: Sequence[PendingSale]) -> Remaining:
    """Return what remains after these sales, in the order of their nonces.

    A sale that its pools do not accept, or that has unknown curves, moves no curve. Its simulation
    shows the effect.
    """
    curves, taken = dict(remaining.curves), dict(remaining.taken)
    for sale in sales:
        trades = _list_trades(sale, curves)
        for trade in trades:
            curves.update(trade.after)
            for hop, amount in zip(sale.route.hops, trade.paid_out, strict=True):
                key = LiquidityKey(holder=hop.pool, token=hop.token_out)
                taken[key] = taken.get(key, 0) + amount
        for key, amount in sale.drawn:
            taken[key] = taken.get(key, 0) + amount
        for key, amount in sale.repaid:
            taken[key] = taken.get(key, 0) - amount
    return Remaining(curves=curves, liquidity=remaining.liquidity, taken=taken)


def _list_trades(sale: PendingSale, curves: CurveBook) -> list[RouteTrade]:
    """Return the swaps of a sale. A flash swap buys first and sells the remainder afterwards."""
    trades = list[RouteTrade]()
    if not sale.route.hops:
        return trades
    rest = sale.received
    if sale.bought:
        purchase = bought_along(sale.route, sale.bought, curves)
        if purchase is None or purchase.amount_in > rest:
            return trades
        trades.append(purchase)
        curves, rest = {**curves, **purchase.after}, TokenUnits(rest - purchase.amount_in)
    if rest:
        sold = sold_along(sale.route, rest, curves)
        trades += [] if sold is None else [sold]
    return trades
