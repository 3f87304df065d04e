"""Pools as flash lenders of their own tokens."""

from dataclasses import dataclass
from typing import Final

from keeper.domain.opportunity import LiquidityKey
from keeper.domain.units import PIPS, Address, Gas, Pips, TokenUnits, mul_div_ceil

SOURCE: Final = 3
"""The executor's number for a loan by ``UniswapV3Pool.flash``."""

KIND: Final = "uniswap_v3_flash"

FLASH_GAS: Final = Gas(110_000)
"""
Gas of ``flash`` with its callback and two transfers, inside a plan's step.

At most 104,000 of the least step gas measured. By itself it takes 47,000 to 64,000, with
the plainest token; the rest is handed on to calls and comes back.
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
