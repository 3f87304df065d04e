"""Collateral, debt and health of one account in one market at one block."""

from dataclasses import dataclass
from typing import Final

from keeper.domain.units import UINT256_MAX, Address, BaseCurrency, MarketKey, TokenUnits, Wad

HEALTH_FACTOR_NO_DEBT: Final = Wad(UINT256_MAX)
"""The health factor of an account that owes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One token of an account's collateral or debt, with interest up to the block's timestamp."""

    token: Address
    symbol: str
    decimals: int
    amount: TokenUnits
    value: BaseCurrency


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountHealth:
    """Health of one account at the snapshot's block, exact to the wei.

    ``liquidatable`` is the protocol's own verdict (in some protocols equality counts). It is not
    derived from the health factor elsewhere. ``unpriced`` is the reason why the account could not
    be valued (a failing price source, say). The other figures are then zero and it is not
    liquidatable.
    """

    market: MarketKey
    account: Address
    health_factor: Wad
    collateral_base: BaseCurrency
    debt_base: BaseCurrency
    liquidatable: bool
    unpriced: str = ""
