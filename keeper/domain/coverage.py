"""Coverage of debt. Compares the contracts' totals with the sums over the known accounts."""

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.domain.units import Address, MarketKey, TokenUnits, mul_div_ceil, mul_div_floor

Ratio = tuple[int, int]
"""Numerator and denominator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebtTotal:
    """A contract's total of one debt, and the sum over the accounts of the book.

    ``stated`` and ``known`` count in the contract's own unit: scaled units, or shares, and
    ``token_units`` converts one of them. ``usd_e8`` converts one token unit to 1e-8 dollars, None
    without a price. ``exception`` names debt that neither figure counts.
    """

    market: MarketKey
    token: Address
    symbol: str
    decimals: int
    stated: int
    known: int
    token_units: Ratio
    usd_e8: Ratio | None
    exception: str = ""

    @property
    def uncovered(self) -> int:
        """Debt that is missing from the book's accounts.

        Negative if their sum exceeds the total.
        """
        return self.stated - self.known

    @property
    def uncovered_tokens(self) -> TokenUnits:
        """The uncovered debt, or the excess, in token units, rounded up."""
        return TokenUnits(mul_div_ceil(abs(self.uncovered), *self.token_units))

    @property
    def uncovered_usd_e8(self) -> int | None:
        """The uncovered debt, or the excess, in 1e-8 dollars, rounded up. None without a price."""
        if not self.uncovered:
            return 0
        return None if self.usd_e8 is None else mul_div_ceil(self.uncovered_tokens, *self.usd_e8)

    @property
    def stated_usd_e8(self) -> int | None:
        """The stated total in 1e-8 dollars, rounded down. None without a price."""
        if self.usd_e8 is None:
            return None
        return mul_div_floor(mul_div_floor(self.stated, *self.token_units), *self.usd_e8)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageNews:
    """A deployment's uncovered debt rose above the limit, or fell below it (``is_covered``)."""

    market: MarketKey
    is_covered: bool
    uncovered_usd_e8: int | None
    detail: str
    hint: str


def sum_uncovered_usd_e8(totals: Sequence[DebtTotal]) -> int | None:
    """Return the worth of all uncovered debt. None where some of it has no price."""
    values = [total.uncovered_usd_e8 for total in totals]
    priced = [value for value in values if value is not None]
    return sum(priced) if len(priced) == len(values) else None
