"""Exposure of an account by leg, for what-if questions about prices."""

from functools import lru_cache

from keeper.domain.exposure import Exposure, ExposureLeg
from keeper.domain.units import BPS, WAD, Bps, Wad
from keeper.protocols.aave_v3.position import Leg, Position


def exposure_of(position: Position) -> Exposure:
    """Return values in base currency with thresholds and bonuses, including eMode's."""
    used = [leg for leg in position.legs.values() if leg.collateral or leg.debt]
    return Exposure(legs=tuple([_build_leg(leg) for leg in used]))


def _build_leg(leg: Leg) -> ExposureLeg:
    reserve = leg.state.reserve
    return ExposureLeg(
        token=reserve.token,
        symbol=reserve.symbol,
        collateral=leg.collateral_value,
        debt=leg.debt_value,
        weight=_convert_to_wad(leg.threshold),
        bonus=_convert_to_wad(leg.bonus),
    )


@lru_cache(maxsize=1_024)
def _convert_to_wad(share: Bps) -> Wad:
    return Wad(share * WAD // BPS)
