"""Aave's flash loan as a source of the spend token."""

from dataclasses import dataclass
from typing import Final

from keeper.domain.decision import SkipReason
from keeper.domain.opportunity import LiquidityKey, Refusal
from keeper.domain.units import Address, Bps, Gas, TokenUnits
from keeper.protocols.aave_v3.model import PoolState, ReserveState
from keeper.protocols.aave_v3.rulebook import Rules
from keeper.protocols.aave_v3.rules import flash_fee

FLASH_LOAN_SOURCE: Final = 1
"""The executor's number of this kind of funding."""

FLASH_LOAN_KIND: Final = "aave_v3_flash_loan"

FLASH_LOAN_GAS: Final = Gas(175_000)
"""A transaction of ``flashLoanSimple`` alone: at most 165 000 measured, on 3.0 and 3.6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashLoan:
    """``flashLoanSimple`` of one reserve, as a ``FlashLender``."""

    lender: Address
    token: Address
    liquidity: LiquidityKey
    available: TokenUnits
    premium: Bps
    rules: Rules
    source: int = FLASH_LOAN_SOURCE
    kind: str = FLASH_LOAN_KIND
    gas: Gas = FLASH_LOAN_GAS

    def fee(self, amount: TokenUnits) -> TokenUnits:
        """Return the fee for ``amount``, rounded to nearest up to 3.4 and up from 3.5."""
        return flash_fee(amount, self.premium, self.rules)


def flash_lender(pool: PoolState, token: Address) -> FlashLoan | Refusal:
    """Return the pool's flash loan of ``token``, or the reason for none."""
    state = next((r for r in pool.reserves.values() if r.reserve.token == token), None)
    if state is None:
        return Refusal(reason=SkipReason.NO_FUNDING, detail=f"{token} is no reserve of the pool")
    refusal = _find_refusal(pool, state)
    if refusal is not None:
        return refusal
    return FlashLoan(
        lender=pool.structure.pool,
        token=token,
        liquidity=LiquidityKey(holder=state.reserve.a_token, token=token),
        available=state.available,
        premium=pool.flash_premium,
        rules=pool.structure.rules,
    )


def _find_refusal(pool: PoolState, state: ReserveState) -> Refusal | None:
    """Return the reason against a flash loan.

    Source: ``ValidationLogic.validateFlashloanSimple``.
    """
    symbol, configuration = state.reserve.symbol, state.configuration
    if not pool.structure.supported:
        detail = f"pool revision {pool.structure.revision}"
        return Refusal(reason=SkipReason.UNSUPPORTED_REVISION, detail=detail)
    if configuration.paused:
        return Refusal(reason=SkipReason.RESERVE_PAUSED, detail=f"{symbol} is paused")
    if not configuration.active:
        return Refusal(reason=SkipReason.RESERVE_INACTIVE, detail=f"{symbol} is inactive")
    if pool.structure.flash_flag and not configuration.flash_loans_enabled:
        detail = f"flash loans of {symbol} are disabled"
        return Refusal(reason=SkipReason.FLASH_LOAN_DISABLED, detail=detail)
    if state.available == 0:
        return Refusal(reason=SkipReason.RESERVE_ILLIQUID, detail=f"no {symbol} is left to lend")
    return None
