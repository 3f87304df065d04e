"""The executor's step for a liquidation."""

from typing import Final

from keeper.chain.abi import encoded
from keeper.domain.opportunity import ExecutorStep
from keeper.domain.units import Address
from keeper.protocols.morpho_blue.model import PARAMS_TYPE, Params

EXECUTOR_MODULE: Final = 2
"""The executor's number of its Morpho Blue module."""


def liquidation_step(
    morpho: Address, params: Params, borrower: Address, *, seized: int, repaid_shares: int
) -> ExecutorStep:
    """
    Return the step; exactly one of ``seized`` and ``repaid_shares`` is not zero.

    It is ``abi.encode(address morpho, MarketParams marketParams, address borrower,
    uint256 seizedAssets, uint256 repaidShares)``.
    """
    data = encoded(
        ("address", PARAMS_TYPE, "address", "uint256", "uint256"),
        (morpho, params.values, borrower, seized, repaid_shares),
    )
    return ExecutorStep(module=EXECUTOR_MODULE, data=data)
