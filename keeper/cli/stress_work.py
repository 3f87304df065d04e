"""Implementation of ``keeper stress``."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from keeper.abilities import Tabulates, WeighsLegs
from keeper.book.coverage import DebtCoverage
from keeper.cli.dollars import dollar_rates
from keeper.cli.output import print_note
from keeper.cli.progress import telling
from keeper.cli.shocks import Percent, resolved
from keeper.composition.session import Session, opened
from keeper.config import Settings
from keeper.domain.curve import ExitCurve, Route
from keeper.domain.errors import RpcMalformed, RpcRefused
from keeper.domain.exits import Exits, Pair
from keeper.domain.head import Basis, BlockName, Head
from keeper.domain.units import Address, BaseCurrency, MarketKey, TokenUnits
from keeper.domain.value import TokenPrice
from keeper.ports import MarketSnapshot
from keeper.risk.depth import Sale, exit_depth
from keeper.risk.stress import Stress, Totals, stressed, totals
from keeper.risk.table import Table, TableBuilder, factors
from keeper.stages.valuation import USD_UNIT

_RATIO_SCALE: Final = 10**9


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """A required sale of one token for another, and the pools' depth, in token units.

    ``depth`` is the most that sells, at the block's prices and pools, without the loss exceeding
    the bonus. Pairs that share pools share their depth, and each is stated as if alone.
    """

    sold: TokenPrice
    bought: TokenPrice
    to_sell: int
    to_sell_usd: float
    depth: TokenUnits

    @property
    def is_covered(self) -> bool:
        """Whether all of it can be sold this way."""
        return self.depth >= self.to_sell


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A stressed book. ``unvalued`` accounts have no price and are left out."""

    head: Head
    table: Table
    moves: Mapping[Address, Percent]
    stress: Stress
    exits: Sequence[Exit]
    curve: Sequence[tuple[Percent, Totals]]
    unvalued: int
    prices: Mapping[Address, TokenPrice]
    coverage: DebtCoverage = field(default_factory=DebtCoverage)


async def asked(
    settings: Settings,
    block: BlockName,
    shocks: Mapping[str, Percent],
    curve: Sequence[Percent],
    *,
    quiet: bool,
) -> Answer:
    """Compute the effect of the shocks at a block.

    Raises:
        ConfigError: no account uses a shocked token.
        ChainError: the block, or every market, cannot be read.
    """
    async with opened(settings) as session:
        with telling(quiet=quiet) as tell:
            head, snapshots = await session.at(block, tell)
        rates = await dollar_rates(session, snapshots)
        dollars = {market: above / below for market, (above, below) in rates.items()}
        table, unvalued = tabled(snapshots, {m: d / USD_UNIT for m, d in dollars.items()})
        tokens = resolved(list(shocks), {one.token: one.symbol for one in table.assets})
        moves = {tokens[name]: percent for name, percent in shocks.items()}
        stress = await asyncio.to_thread(
            stressed, table, factors(table, _convert_to_fractions(moves))
        )
        prices = _collect_prices(snapshots, dollars)
        wanted = set(_list_pairs(table, stress).values())
        market = await _read_exits(session, wanted, Basis(block_hash=head.hash))
        return Answer(
            head=head,
            table=table,
            moves=moves,
            stress=stress,
            exits=_compute_sales(table, stress, moves, prices, market),
            curve=[
                (
                    at,
                    totals(
                        stressed(
                            table, factors(table, _convert_to_fractions(dict.fromkeys(moves, at)))
                        )
                    ),
                )
                for at in curve
            ],
            unvalued=unvalued,
            prices=prices,
            coverage=session.follower.coverage,
        )


def tabled(
    snapshots: Sequence[MarketSnapshot], dollars_per_base: Mapping[MarketKey, float]
) -> tuple[Table, int]:
    """Return every valued account with debt as a table, and the number of unvalued ones."""
    builder, unvalued = TableBuilder(), 0
    for snapshot in snapshots:
        dollars = dollars_per_base.get(snapshot.market, 0.0)
        if isinstance(snapshot, Tabulates):
            whole = snapshot.tabulated()
            builder.add_market(snapshot.market, whole.legs, dollars)
            unvalued += whole.unvalued
            healths = [one for each in whole.apart if (one := snapshot.account(each))]
        else:
            healths = list(snapshot.accounts())
        for health in healths:
            exposure = None
            if isinstance(snapshot, WeighsLegs):
                exposure = snapshot.exposure(health.account)
            if exposure is None:
                unvalued += 1
            else:
                builder.add(health, exposure, dollars)
    return builder.built(), unvalued


def _convert_to_fractions(moves: Mapping[Address, Percent]) -> dict[Address, float]:
    return {token: float(percent) / 100 for token, percent in moves.items()}


def _collect_prices(
    snapshots: Sequence[MarketSnapshot], dollars: Mapping[MarketKey, float]
) -> dict[Address, TokenPrice]:
    """Return each token's price in 1e-8 dollars, from the first market that states it."""
    found: dict[Address, TokenPrice] = {}
    for snapshot in snapshots:
        rate = dollars.get(snapshot.market)
        if rate is None:
            continue
        for token, one in snapshot.prices.items():
            price = BaseCurrency(one.price if rate == 1 else int(one.price * rate))
            if price:
                found.setdefault(
                    token,
                    TokenPrice(token=token, symbol=one.symbol, decimals=one.decimals, price=price),
                )
    return found


def _compute_sales(
    table: Table,
    stress: Stress,
    moves: Mapping[Address, Percent],
    prices: Mapping[Address, TokenPrice],
    market: Exits,
) -> list[Exit]:
    """Return the sales that the stressed accounts need, largest first."""
    found = list[Exit]()
    for (row, column), pair in _list_pairs(table, stress).items():
        sold, bought = (prices.get(one) for one in pair)
        if sold is None or bought is None:
            continue
        usd = float(stress.pairs[row, column])
        moved = sold.price / USD_UNIT * (1.0 + float(moves.get(sold.token, Percent(0))) / 100)
        sale = Sale(sold=sold, bought=bought, least=_compute_least(stress, row))
        found.append(
            Exit(
                sold=sold,
                bought=bought,
                to_sell=int(usd / moved * 10**sold.decimals) if moved else 0,
                to_sell_usd=usd,
                depth=exit_depth(sale, market.routes.get(pair, ()), market.curves),
            )
        )
    return sorted(found, key=lambda one: (-one.to_sell_usd, one.sold.token, one.bought.token))


def _list_pairs(table: Table, stress: Stress) -> dict[tuple[int, int], Pair]:
    """Return the assets sold and bought, by their indices. The same asset needs no sale."""
    rows, columns = np.nonzero(stress.pairs)
    return {
        (int(row), int(column)): (table.assets[row].token, table.assets[column].token)
        for row, column in zip(rows, columns, strict=True)
        if row != column
    }


def _compute_least(stress: Stress, asset: int) -> tuple[int, int]:
    """Return the part of a sale's proceeds that repays the debt. The rest is the bonus."""
    sold, bonus = float(stress.sold[asset]), float(stress.bonus[asset])
    return int((sold - bonus) / sold * _RATIO_SCALE), _RATIO_SCALE


async def _read_exits(session: Session, pairs: Collection[Pair], basis: Basis) -> Exits:
    """Fetch all venues' routes and curves. A venue that does not answer has none."""
    routes: dict[Pair, tuple[Route, ...]] = {}
    curves: dict[Address, ExitCurve] = {}
    for venue in session.venues if pairs else ():
        try:
            found = await venue.exits(pairs, basis)
        except (RpcRefused, RpcMalformed) as error:
            print_note(f"warning: venue {venue.kind} does not answer: {error.code}")
            continue
        curves.update(found.curves)
        for pair, ways in found.routes.items():
            routes[pair] = routes.get(pair, ()) + ways
    return Exits(routes=routes, curves=curves, lenders={})
