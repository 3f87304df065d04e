"""Liquidity for selling collateral at one block. Routes, pool curves and lending pools."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keeper.domain.curve import CurveBook, Route
from keeper.domain.opportunity import FlashLender
from keeper.domain.units import Address

Pair = tuple[Address, Address]
"""The token sold and the token bought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exits:
    """Routes of the requested pairs, over curves of one block.

    ``lenders`` are pools that lend a token for a fee and are locked meanwhile, so a route must not
    pass through the lender's own pool. ``factories`` maps each pool to the factory that created it.
    """

    routes: Mapping[Pair, tuple[Route, ...]]
    curves: CurveBook
    lenders: Mapping[Address, tuple[FlashLender, ...]]
    factories: Mapping[Address, Address] = field(default_factory=dict)
