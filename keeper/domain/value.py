"""Value of tokens in a market's base currency and in the native coin."""

from collections.abc import Mapping
from dataclasses import dataclass

from keeper.domain.units import WAD, Address, BaseCurrency, TokenUnits, Wei, mul_div_floor


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrice:
    """A market's price of one whole token (``10**decimals`` units), in its base currency."""

    token: Address
    symbol: str
    decimals: int
    price: BaseCurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class Valuation:
    """Prices of one market at one block, including the native coin's.

    ``base_unit`` is one whole unit of the base currency (1e8 where it is the US dollar with eight
    decimals). ``native_price`` is the price of 1e18 wei. ``usd_per_base`` converts base currency to
    US dollars: numerator and denominator such that ``base * numerator / denominator`` is in 1e-8
    dollars.
    """

    prices: Mapping[Address, TokenPrice]
    base_unit: BaseCurrency
    native_price: BaseCurrency
    usd_per_base: tuple[int, int]

    def base_floor(self, token: Address, amount: TokenUnits) -> BaseCurrency:
        """Return the value of ``amount`` of ``token`` in base currency, rounded down."""
        quoted = self.prices[token]
        return BaseCurrency(mul_div_floor(amount, quoted.price, 10**quoted.decimals))

    def wei_floor(self, token: Address, amount: TokenUnits) -> Wei:
        """Return the value of ``amount`` (may be negative) in wei, rounded down."""
        quoted = self.prices[token]
        return Wei(amount * quoted.price * WAD // (10**quoted.decimals * self.native_price))

    def units_ceil(self, token: Address, value: Wei) -> TokenUnits:
        """Return the smallest number of units of ``token`` that are worth at least ``value``."""
        quoted = self.prices[token]
        return TokenUnits(
            -(-value * self.native_price * 10**quoted.decimals // (quoted.price * WAD))
        )

    @property
    def native_usd_e8(self) -> int:
        """The native coin's price in 1e-8 US dollars, rounded down."""
        numerator, denominator = self.usd_per_base
        return mul_div_floor(self.native_price, numerator, denominator)

    def wei_of_usd_ceil(self, usd_e8: int) -> Wei:
        """Return the wei that are worth ``usd_e8`` (1e-8 US dollars), rounded up."""
        numerator, denominator = self.usd_per_base
        return Wei(-(-usd_e8 * denominator * WAD // (numerator * self.native_price)))
