"""Pools as flash lenders of their own tokens."""

from dataclasses import dataclass
from typing import Final

from keeper.domain.opportunity import LiquidityKey
from keeper.domain.units import PIPS, Address, Gas, Pips, TokenUnits, mul_div_ceil

SOURCE: Final = 3
"""The executor's number for a loan by ``UniswapV3Pool.flash``."""

KIND: Final = "uniswap_v3_flash"

FLASH_GAS: Final = Gas(90_000)
"""
Gas of ``flash`` with its callback and two transfers, estimated.

With the plainest token it took 47,000 to 64,000 beyond a transaction's 21,000; the
rest is for tokens that cost more.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLender:
    """
    A pool that lends one of its tokens through ``flash`` and is locked meanwhile.

    Source: Uniswap/v3-core ``UniswapV3Pool.flash``, release 1.0.1 on npm.
    """

    lender: Address
    token: Address
    pool_fee: Pips
    available: TokenUnits

    @property
    def source(self) -> int:
        """The executor's number of this kind of funding."""
        return SOURCE

    @property
    def kind(self) -> str:
        """The kind's name for people."""
        return KIND

    @property
    def liquidity(self) -> LiquidityKey:
        """The pool's own balance of the token."""
        return LiquidityKey(holder=self.lender, token=self.token)

    @property
    def gas(self) -> Gas:
        """Gas of borrowing and paying back, estimated."""
        return FLASH_GAS

    def fee(self, amount: TokenUnits) -> TokenUnits:
        """Return the fee for ``amount``, rounded up."""
        return TokenUnits(mul_div_ceil(amount, self.pool_fee, PIPS))
