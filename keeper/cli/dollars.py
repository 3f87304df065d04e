"""Rates of markets' base currencies in US dollars, for answers across markets."""

from collections.abc import Mapping, Sequence

from keeper.composition.session import Session
from keeper.domain.units import MarketKey
from keeper.ports import MarketSnapshot
from keeper.stages.valuation import USD_UNIT

Rate = tuple[int, int]
"""``base * numerator / denominator`` is in 1e-8 dollars."""


async def dollar_rates(
    session: Session, snapshots: Sequence[MarketSnapshot]
) -> Mapping[MarketKey, Rate]:
    """Return each market's rate. Markets without a known dollar value are missing."""
    rates: dict[MarketKey, Rate] = {}
    others = [one for one in snapshots if one.base_unit != USD_UNIT]
    rates.update({one.market: (1, 1) for one in snapshots if one.base_unit == USD_UNIT})
    if others:
        coin = await session.coin()
        for one in others:
            valuation = await coin.valuation(one)
            if valuation is not None:
                rates[one.market] = valuation.usd_per_base
    return rates


def usd_e8(amount: int, rate: Rate | None) -> int:
    """Return an amount of base currency in 1e-8 dollars, rounded down. 0 without a rate."""
    return 0 if rate is None else amount * rate[0] // rate[1]
