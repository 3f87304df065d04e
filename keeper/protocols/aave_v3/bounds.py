"""Upper bound of a liquidation's earnings without evaluating its pairs."""

from dataclasses import dataclass
from fractions import Fraction

from keeper.domain.units import BPS, BaseCurrency, mul_div_ceil
from keeper.protocols.aave_v3.position import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class BonusBound:
    """A pool's largest bonus and the largest growth of a debt over a window.

    ``bonus`` is in bps, principal included. ``rounding`` is the value of all units lost in
    rounding, in base currency.
    """

    bonus: int
    growth: Fraction
    rounding: int

    def of(self, debt: BaseCurrency) -> BaseCurrency:
        """Return an upper bound of ``bonus_at_most`` for any pair of an account with this debt."""
        owed = mul_div_ceil(debt, self.growth.numerator, self.growth.denominator) + self.rounding
        return BaseCurrency(mul_div_ceil(owed, self.bonus - BPS, BPS) + self.rounding)


def bonus_bound(first: Clock, last: Clock) -> BonusBound | None:
    """Return the bound between two timestamps. None for pools with stable debts.

    The same revisions may value a pair's debt at another price than the account's. The amount
    received exceeds the amount repaid by the bonus at most, whether the debt, the close factor or
    the collateral limits it.
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
