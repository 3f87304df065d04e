"""What liquidating an account can earn at most, without a look at its pairs."""

from dataclasses import dataclass
from fractions import Fraction

from keeper.domain.units import BPS, BaseCurrency, mul_div_ceil
from keeper.protocols.aave_v3.position import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class BonusBound:
    """
    The largest bonus of a pool, and by how much a debt grows over a window, at most.

    ``bonus`` is in bps, principal included; ``rounding`` is what all units that are rounded
    away are worth, in base currency.
    """

    bonus: int
    growth: Fraction
    rounding: int

    def of(self, debt: BaseCurrency) -> BaseCurrency:
        """Return no less than ``bonus_at_most`` of any pair of an account that owes so much."""
        owed = mul_div_ceil(debt, self.growth.numerator, self.growth.denominator) + self.rounding
        return BaseCurrency(mul_div_ceil(owed, self.bonus - BPS, BPS) + self.rounding)


def bonus_bound(first: Clock, last: Clock) -> BonusBound | None:
    """
    Return the bound between two timestamps; None for pools with debts at rates of their own.

    The same revisions may reckon a pair's debt at another price than the account's
    (``Clock.pair``). What is received exceeds what is repaid by the bonus at most, whether the
    debt, the close factor or the collateral limits it.
    """
    pool = first.pool
    if pool.structure.rules.stable_debt or any(one.has_price for one in pool.categories.values()):
        return None
    priced = [(at, one) for at, one in pool.reserves.items() if one.price is not None]
    own = [one.configuration.liquidation_bonus for _, one in priced]
    modes = [one.liquidation_bonus for one in pool.categories.values()]
    grown = [Fraction(last.indices(at)[1], first.indices(at)[1]) for at, _ in priced]
    return BonusBound(
        bonus=max(BPS, *own, *modes),
        growth=max(grown, default=Fraction(1)),
        rounding=sum(4 * mul_div_ceil(1, one.price or 0, one.unit) + 4 for _, one in priced),
    )
