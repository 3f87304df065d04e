"""Encodes a liquidation for the executor, and a cure for the vault."""

from typing import Final

from keeper.chain.abi import encoded
from keeper.domain.advice import Cure, CureKind
from keeper.domain.cure import ClearStep, CureStep
from keeper.domain.opportunity import ExecutorStep
from keeper.domain.units import Address, TokenUnits

EXECUTOR_MODULE: Final = 1
"""The executor's number of its Aave v3 module."""


def liquidation_step(pool: Address, borrower: Address, debt_to_cover: TokenUnits) -> ExecutorStep:
    """Encode the step ``abi.encode(address pool, address borrower, uint256 debtToCover)``."""
    data = encoded(("address", "address", "uint256"), (pool, borrower, debt_to_cover))
    return ExecutorStep(module=EXECUTOR_MODULE, data=data)


VAULT_SUPPLY: Final = 1
VAULT_REPAY: Final = 2
"""The vault's numbers of its Aave v3 cures."""

VAULT_CLEAR: Final = 5
"""The vault's number of its Aave v3 liquidation."""

STABLE_RATE: Final = 1
VARIABLE_RATE: Final = 2
"""Interest rate modes. Source: ``DataTypes.InterestRateMode``."""


def place_of(pool: Address) -> bytes:
    """Encode the pool as an entry of the vault's list."""
    return encoded(("address",), (pool,))


def cure_step(pool: Address, borrower: Address, cure: Cure) -> CureStep:
    """Encode the cure ``abi.encode(address pool, address borrower, uint256 rateMode)``."""
    mode = STABLE_RATE if cure.stable_rate else VARIABLE_RATE
    return CureStep(
        place=place_of(pool),
        kind=VAULT_REPAY if cure.kind is CureKind.REPAY_DEBT else VAULT_SUPPLY,
        data=encoded(("address", "address", "uint256"), (pool, borrower, mode)),
    )


def clear_step(pool: Address, borrower: Address) -> ClearStep:
    """Encode the clearing ``abi.encode(address pool, address borrower)``."""
    return ClearStep(
        place=place_of(pool),
        kind=VAULT_CLEAR,
        data=encoded(("address", "address"), (pool, borrower)),
    )
