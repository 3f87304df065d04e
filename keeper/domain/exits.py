"""Everything known about selling, at one block: routes, curves, pools that lend."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from keeper.domain.curve import CurveBook, Route
from keeper.domain.opportunity import FlashLender
from keeper.domain.units import Address

Pair = tuple[Address, Address]
"""The token sold and the token bought."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exits:
    """
    The routes of the pairs that were asked for, over curves of one block.

    ``lenders`` are pools that lend a token for a fee and are locked meanwhile:
    a route through a lender's own pool does not work. ``factories`` holds who vouches
    for each of these pools, by its address.
    """

    routes: Mapping[Pair, tuple[Route, ...]]
    curves: CurveBook
    lenders: Mapping[Address, tuple[FlashLender, ...]]
    factories: Mapping[Address, Address] = field(default_factory=dict)
