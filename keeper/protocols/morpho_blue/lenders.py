"""Morpho's liquidation callback and its flash loan as funding."""

from dataclasses import dataclass
from typing import Final

from keeper.domain.opportunity import LiquidityKey
from keeper.domain.units import UINT256_MAX, Address, Gas, TokenUnits

CALLBACK_SOURCE: Final = 4
FLASH_LOAN_SOURCE: Final = 5
"""The executor's numbers of these kinds of funding."""

CALLBACK_KIND: Final = "morpho_blue_callback"
FLASH_LOAN_KIND: Final = "morpho_blue_flash_loan"

CALLBACK_GAS: Final = Gas(15_000)
"""The call back, on top of the liquidation: an estimate, of two calls and their data."""

FLASH_LOAN_GAS: Final = Gas(100_000)
"""
Borrowing and paying back inside a plan's step.

At most 97 000 of the least step gas measured, for an Aave v3.6 liquidation; a transaction of
``flashLoan`` alone takes 57 109, with plain tokens.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lender:
    """A source of the spend token without a fee, as a ``FlashLender``."""

    source: int
    kind: str
    lender: Address
    token: Address
    liquidity: LiquidityKey
    available: TokenUnits
    gas: Gas

    def fee(self, amount: TokenUnits) -> TokenUnits:  # noqa: ARG002 - the port's: Morpho asks none
        """Return the fee, which is always zero."""
        return TokenUnits(0)


def flash_loan(morpho: Address, token: Address, balance: TokenUnits) -> Lender:
    """Return the flash loan of ``token``, up to Morpho's whole balance."""
    return Lender(
        source=FLASH_LOAN_SOURCE,
        kind=FLASH_LOAN_KIND,
        lender=morpho,
        token=token,
        liquidity=LiquidityKey(holder=morpho, token=token),
        available=balance,
        gas=FLASH_LOAN_GAS,
    )


def callback(morpho: Address, token: Address) -> Lender:
    """Return the liquidation's own callback, which pays the collateral before the repayment.

    It lends nothing, so it uses up no liquidity and has no holder.
    """
    return Lender(
        source=CALLBACK_SOURCE,
        kind=CALLBACK_KIND,
        lender=morpho,
        token=token,
        liquidity=LiquidityKey(holder=Address(""), token=token),
        available=TokenUnits(UINT256_MAX),
        gas=CALLBACK_GAS,
    )
