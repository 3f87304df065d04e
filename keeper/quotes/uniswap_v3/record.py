"""Encodes pools and pool lenders for the record, and decodes them."""

from collections.abc import Mapping
from typing import Any, Final

from keeper.audit.canonical import Part, restored
from keeper.domain.curve import ExitCurve
from keeper.domain.opportunity import FlashLender
from keeper.domain.units import Address, Pips
from keeper.quotes.uniswap_v3.curve import UniswapV3Curve
from keeper.quotes.uniswap_v3.depth import Depth, Position
from keeper.quotes.uniswap_v3.lenders import PoolLender
from keeper.quotes.uniswap_v3.tick_math import MIN_TICK

VERSION: Final = "1"


def curve_facts(curve: ExitCurve) -> object:
    """Encode a pool at a block. Its ticks are a separate part, since they seldom change."""
    if not isinstance(curve, UniswapV3Curve):
        raise TypeError(f"no curve of Uniswap v3: {type(curve).__name__}")
    depth = curve.depth
    return {
        "version": VERSION,
        "pool": curve.pool,
        "tokens": curve.tokens,
        "fee": curve.fee,
        "position": curve.position,
        "depth": Part(
            {
                "ticks": depth.net_liquidity(),
                "below": depth.below_all,
                "spacing": depth.spacing,
                "fee": depth.fee,
                "lowest": depth.lowest,
                "highest": depth.highest,
            }
        ),
    }


def curve_of(facts: Mapping[str, Any]) -> ExitCurve:
    """Decode a pool from its facts.

    Raises:
        ValueError: the facts are not those of a pool, or have another version.
    """
    if facts.get("version") != VERSION:
        raise ValueError(f"facts of version {facts.get('version')}, not {VERSION}")
    known = facts["depth"]
    depth = Depth(
        ticks=restored(tuple[tuple[int, int], ...], known["ticks"]),
        tick=MIN_TICK - 1,
        liquidity=int(known["below"]),
        spacing=int(known["spacing"]),
        fee=int(known["fee"]),
        lowest=int(known["lowest"]),
        highest=int(known["highest"]),
    )
    return UniswapV3Curve(
        pool=Address(facts["pool"]),
        tokens=restored(tuple[Address, Address], facts["tokens"]),
        fee=Pips(int(facts["fee"])),
        depth=depth,
        position=restored(Position, facts["position"]),
    )


def lender_facts(lender: FlashLender) -> object:
    """Encode a pool as a lender."""
    return lender


def lender_of(facts: Mapping[str, Any]) -> FlashLender:
    """Decode a lender from its facts. ValueError if they are not those of a lender."""
    return restored(PoolLender, facts)
