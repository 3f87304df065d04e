"""Exposure of a position by leg, for what-if questions about prices."""

from keeper.domain.exposure import Exposure, ExposureLeg
from keeper.domain.units import WAD, BaseCurrency, TokenUnits, Wad
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.model import Market


def exposure_of(
    market: Market, worth: TokenUnits, owed: TokenUnits, loan_price: BaseCurrency | None
) -> Exposure:
    """Return collateral (by the oracle) and debt in loan units, with LLTV and incentive."""
    collateral, loan = market.collateral, market.loan
    lltv = market.params.lltv
    return Exposure(
        legs=(
            ExposureLeg(
                token=collateral.address,
                symbol=collateral.symbol,
                collateral=worth,
                debt=0,
                weight=lltv,
                bonus=rules.incentive(lltv),
            ),
            ExposureLeg(
                token=loan.address,
                symbol=loan.symbol,
                collateral=0,
                debt=owed,
                weight=lltv,
                bonus=Wad(WAD),
            ),
        ),
        per_base=(loan_price or 0, 10**loan.decimals),
    )
