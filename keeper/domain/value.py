"""What a token is worth in the market's base currency and in the native coin."""

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
    """
    The prices one market stated at one block, and the native coin's among them.

    ``base_unit`` is one whole unit of the base currency (1e8 where it is the US
    dollar with eight decimals); ``native_price`` is the price of 1e18 wei.
    ``usd_per_base`` converts base currency to US dollars: numerator and
    denominator such that ``base * numerator / denominator`` is in 1e-8 dollars.
    """

    prices: Mapping[Address, TokenPrice]
    base_unit: BaseCurrency
    native_price: BaseCurrency
    usd_per_base: tuple[int, int]

    def base_floor(self, token: Address, amount: TokenUnits) -> BaseCurrency:
        """Return what ``amount`` of ``token`` is worth in base currency, rounded down."""
        quoted = self.prices[token]
        return BaseCurrency(mul_div_floor(amount, quoted.price, 10**quoted.decimals))

    def wei_floor(self, token: Address, amount: TokenUnits) -> Wei:
        """Return what ``amount`` (may be negative) is worth in wei, rounded down."""
        quoted = self.prices[token]
        return Wei(amount * quoted.price * WAD // (10**quoted.decimals * self.native_price))

    def units_ceil(self, token: Address, value: Wei) -> TokenUnits:
        """Return how many units of ``token`` are worth at least ``value``."""
        quoted = self.prices[token]
        return TokenUnits(
            -(-value * self.native_price * 10**quoted.decimals // (quoted.price * WAD))
        )

    @property
    def native_usd_e8(self) -> int:
        """What the native coin is worth, in 1e-8 US dollars, rounded down."""
        numerator, denominator = self.usd_per_base
        return mul_div_floor(self.native_price, numerator, denominator)

    def wei_of_usd_ceil(self, usd_e8: int) -> Wei:
        """Return the wei worth ``usd_e8`` (1e-8 US dollars), rounded up."""
        numerator, denominator = self.usd_per_base
        return Wei(-(-usd_e8 * denominator * WAD // (numerator * self.native_price)))
