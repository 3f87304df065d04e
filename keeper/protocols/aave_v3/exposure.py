"""An account's legs as weights, for asking what if prices moved."""

from keeper.domain.exposure import Exposure, ExposureLeg
from keeper.domain.units import BPS, WAD, Wad
from keeper.protocols.aave_v3.position import Position


def exposure_of(position: Position) -> Exposure:
    """Return values in base currency with thresholds and bonuses, eMode's where it applies."""
    return Exposure(
        legs=tuple(
            ExposureLeg(
                token=leg.state.reserve.token,
                symbol=leg.state.reserve.symbol,
                collateral=leg.collateral_value,
                debt=leg.debt_value,
                weight=Wad(leg.threshold * WAD // BPS),
                bonus=Wad(leg.bonus * WAD // BPS),
            )
            for leg in position.legs.values()
            if leg.collateral or leg.debt
        )
    )
