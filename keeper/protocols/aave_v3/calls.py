"""The executor's step for a liquidation."""

from typing import Final

from keeper.chain.abi import encoded
from keeper.domain.opportunity import ExecutorStep
from keeper.domain.units import Address, TokenUnits

EXECUTOR_MODULE: Final = 1
"""The executor's number of its Aave v3 module."""


def liquidation_step(pool: Address, borrower: Address, debt_to_cover: TokenUnits) -> ExecutorStep:
    """Return the step: ``abi.encode(address pool, address borrower, uint256 debtToCover)``."""
    data = encoded(("address", "address", "uint256"), (pool, borrower, debt_to_cover))
    return ExecutorStep(module=EXECUTOR_MODULE, data=data)
