"""Encodes a liquidation for the executor, and a cure for the vault."""

from typing import Final

from eth_hash.auto import keccak

from keeper.chain.abi import encoded
from keeper.domain.advice import Cure, CureKind
from keeper.domain.cure import ClearStep, CureStep
from keeper.domain.opportunity import ExecutorStep
from keeper.domain.units import Address
from keeper.protocols.morpho_blue.model import PARAMS_TYPE, Params

EXECUTOR_MODULE: Final = 2
"""The executor's number of its Morpho Blue module."""


def liquidation_step(
    morpho: Address, params: Params, borrower: Address, *, seized: int, repaid_shares: int
) -> ExecutorStep:
    """Encode the step. Exactly one of ``seized`` and ``repaid_shares`` is not zero.

    It is ``abi.encode(address morpho, MarketParams marketParams, address borrower, uint256
    seizedAssets, uint256 repaidShares)``.
    """
    data = encoded(
        ("address", PARAMS_TYPE, "address", "uint256", "uint256"),
        (morpho, params.values, borrower, seized, repaid_shares),
    )
    return ExecutorStep(module=EXECUTOR_MODULE, data=data)


VAULT_SUPPLY: Final = 3
VAULT_REPAY: Final = 4
"""The vault's numbers of its Morpho Blue cures."""

VAULT_CLEAR: Final = 6
"""The vault's number of its Morpho Blue liquidation."""

SEIZURE_TYPE: Final = f"(address,{PARAMS_TYPE},address,uint256,uint256)"


def cure_step(morpho: Address, params: Params, borrower: Address, cure: Cure) -> CureStep:
    """Encode the cure ``abi.encode(address morpho, MarketParams, address borrower)``.

    The vault's place is ``keccak256(abi.encode(morpho, market id))``.
    """
    return CureStep(
        place=place_of(morpho, params),
        kind=VAULT_REPAY if cure.kind is CureKind.REPAY_DEBT else VAULT_SUPPLY,
        data=encoded(("address", PARAMS_TYPE, "address"), (morpho, params.values, borrower)),
    )


def clear_step(
    morpho: Address,
    params: Params,
    borrower: Address,
    *,
    seized: int,
    repaid_shares: int,
    usd_per_loan: tuple[int, int],
) -> ClearStep:
    """Encode the clearing. Exactly one of ``seized`` and ``repaid_shares`` is not zero.

    It is ``abi.encode((address morpho, MarketParams, address borrower, uint256 seizedAssets,
    uint256 repaidShares))``. The vault counts losses in units of the loan token, which
    ``usd_per_loan`` converts to 1e-8 dollars.
    """
    values = (morpho, params.values, borrower, seized, repaid_shares)
    return ClearStep(
        place=place_of(morpho, params),
        kind=VAULT_CLEAR,
        data=encoded((SEIZURE_TYPE,), (values,)),
        usd_per_base=usd_per_loan,
    )


def place_of(morpho: Address, params: Params) -> bytes:
    """Encode the market as an entry of the vault's list."""
    return keccak(encoded(("address", "bytes32"), (morpho, bytes.fromhex(params.id[2:]))))
