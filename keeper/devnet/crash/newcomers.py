"""Borrowers added during a crash, with the first ones' health at the present prices."""

from collections.abc import Mapping
from dataclasses import replace

from keeper.devnet.assets import BY_SYMBOL
from keeper.devnet.borrowers import Borrower, enter_market, planned_borrowers
from keeper.devnet.market import Devnet
from keeper.devnet.morpho import enter_markets
from keeper.devnet.morpho_markets import BLOCKING, MARKETS, MorphoBorrower, planned_morpho_borrowers

_SPECS = {spec.name: spec for spec in MARKETS if not spec.moody}


def let_enter(devnet: Devnet, count: int, seed: int) -> None:
    """Add ``count`` borrowers to each protocol's markets at the present prices."""
    prices = devnet.prices()
    comers = tuple(_scale_borrower(one, prices) for one in planned_borrowers(count, seed))
    enter_market(devnet.node, devnet.aave, devnet.tokens, comers)
    if devnet.morpho is not None:
        planned = (one for one in planned_morpho_borrowers(count, seed) if one.market in _SPECS)
        more = tuple(_scale_morpho_borrower(one, prices) for one in planned)
        enter_markets(devnet.morpho, more, devnet.tokens)


def _scale_borrower(borrower: Borrower, prices: Mapping[str, int]) -> Borrower:
    """Return the borrower with amounts of the same value as at the first prices."""
    return replace(
        borrower,
        collateral={s: _scale_units(s, units, prices) for s, units in borrower.collateral.items()},
        debt={s: _scale_units(s, units, prices) for s, units in borrower.debt.items()},
    )


def _scale_morpho_borrower(borrower: MorphoBorrower, prices: Mapping[str, int]) -> MorphoBorrower:
    spec = _SPECS[borrower.market]
    return replace(
        borrower,
        collateral=_scale_units(spec.collateral, borrower.collateral, prices),
        debt=_scale_units(spec.loan, borrower.debt, prices),
    )


def _scale_units(symbol: str, units: int, prices: Mapping[str, int]) -> int:
    return units if symbol == BLOCKING else units * BY_SYMBOL[symbol].price // prices[symbol]
