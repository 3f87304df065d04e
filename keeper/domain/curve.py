"""Exit depth as immutable, exact curves.

A curve is the state of one pool at one block. Trading along it returns a new curve, so that each
plan of a sequence is priced on the depth that the earlier ones leave.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from keeper.domain.units import Address, Pips, TokenUnits


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """One exact swap. Amounts, the pool's curve afterwards, and the ticks crossed."""

    amount_in: TokenUnits
    amount_out: TokenUnits
    after: "ExitCurve"
    ticks_crossed: int


class ExitCurve(Protocol):
    """One pool, frozen at a block. Equal to the deployed pool's own answer, to the wei."""

    @property
    def pool(self) -> Address:
        """The pool's contract."""
        ...

    @property
    def tokens(self) -> tuple[Address, Address]:
        """The pool's two tokens, in the pool's order."""
        ...

    @property
    def fee(self) -> Pips:
        """The pool's fee on the input amount."""
        ...

    def sold(self, token_in: Address, amount_in: TokenUnits) -> Trade | None:
        """Return the trade that sells exactly ``amount_in``. None if the depth is insufficient."""
        ...

    def bought(self, token_out: Address, amount_out: TokenUnits) -> Trade | None:
        """Return the trade that buys exactly ``amount_out``. None if the depth is insufficient."""
        ...


CurveBook = Mapping[Address, ExitCurve]
"""Curves by pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One pool of a route, in the direction of the sale."""

    pool: Address
    token_in: Address
    token_out: Address
    fee: Pips


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Pools from the token received to the token owed. Empty if both are the same.

    ``venue`` is the name of the venue's kind, as in the settings, and ``factory`` the contract that
    created its pools and is on the executor's allow-list.
    """

    venue: str
    factory: Address
    hops: tuple[Hop, ...]

    @property
    def pools(self) -> tuple[Address, ...]:
        """The pools that the route passes through."""
        return tuple(hop.pool for hop in self.hops)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTrade:
    """A swap along a whole route, with the curves of its pools afterwards.

    ``paid_out`` is the output amount of each hop's pool, in the route's order.
    """

    amount_in: TokenUnits
    amount_out: TokenUnits
    after: Mapping[Address, ExitCurve]
    ticks_crossed: int
    paid_out: tuple[TokenUnits, ...] = ()


def sold_along(route: Route, amount_in: TokenUnits, curves: CurveBook) -> RouteTrade | None:
    """Return the exact sale of ``amount_in`` through the route. None if a pool lacks depth."""
    amount, after, crossed = amount_in, dict[Address, ExitCurve](), 0
    paid_out: list[TokenUnits] = []
    for hop in route.hops:
        curve = after.get(hop.pool) or curves.get(hop.pool)
        trade = curve.sold(hop.token_in, amount) if curve is not None else None
        if trade is None:
            return None
        after[hop.pool] = trade.after
        amount, crossed = trade.amount_out, crossed + trade.ticks_crossed
        paid_out.append(amount)
    return RouteTrade(
        amount_in=amount_in,
        amount_out=amount,
        after=after,
        ticks_crossed=crossed,
        paid_out=tuple(paid_out),
    )


def bought_along(route: Route, amount_out: TokenUnits, curves: CurveBook) -> RouteTrade | None:
    """Return the exact purchase of ``amount_out`` through the route. None if a pool lacks depth."""
    amount, after, crossed = amount_out, dict[Address, ExitCurve](), 0
    paid_out: list[TokenUnits] = []
    for hop in reversed(route.hops):
        curve = after.get(hop.pool) or curves.get(hop.pool)
        trade = curve.bought(hop.token_out, amount) if curve is not None else None
        if trade is None:
            return None
        after[hop.pool] = trade.after
        paid_out.insert(0, amount)
        amount, crossed = trade.amount_in, crossed + trade.ticks_crossed
    return RouteTrade(
        amount_in=amount,
        amount_out=amount_out,
        after=after,
        ticks_crossed=crossed,
        paid_out=tuple(paid_out),
    )
