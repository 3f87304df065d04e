"""Simulation of a single transaction, for nodes that simulate no sequence of them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from keeper.chain.refusal import failed_in_evm
from keeper.domain.errors import ChainError, RpcRefused
from keeper.domain.head import Basis
from keeper.domain.reads import Call
from keeper.domain.units import Address, Gas
from keeper.execution.reverts import failure_reason
from keeper.execution.sending import Answer, classified

log = logging.getLogger(__name__)

FEE_FIELDS: Final = ("maxFeePerGas", "maxPriorityFeePerGas")
BEFORE_REFUNDS: Final = (5, 4)
"""Refunds are a fifth of the gas at most (EIP-3529), and are needed until the end."""


class RunsAlone(Protocol):
    """Reads of a single simulation. Each may raise ``ChainError``."""

    async def call(
        self,
        call: Call,
        basis: Basis,
        *,
        sender: Address | None = None,
        fees: Mapping[str, object] | None = None,
    ) -> bytes:
        """Read one call with these fee fields. A revert raises ``RpcRefused`` with its data."""
        ...

    async def estimate_gas(self, transaction: Mapping[str, object], basis: Basis) -> Gas:
        """Return the gas that a transaction needs."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """Result of a simulated call, its return data, and the least gas it needs (None if unknown)."""

    returned: bytes
    gas: Gas | None


async def run_alone(
    chain: RunsAlone, transaction: Mapping[str, object], call: Call, sender: Address, basis: Basis
) -> Ran | str:
    """
    Return what a transaction does on the pinned block, or why it fails.

    The estimate of its gas is optional: a node without one costs the figure, not the run.

    Raises:
        ChainError: the node did not run it.
    """
    fees = {name: transaction[name] for name in FEE_FIELDS if name in transaction}
    try:
        returned = await _call_with_fees(chain, call, basis, sender, fees)
    except RpcRefused as error:
        if error.data:
            return failure_reason(error.data)
        told = error.text or str(error)
        return told if failed_in_evm(error) else f"the node does not run it: {told}"
    return Ran(returned=returned, gas=await estimate_gas(chain, transaction, basis))


async def estimate_gas(
    chain: RunsAlone, transaction: Mapping[str, object], basis: Basis
) -> Gas | None:
    """Return the least gas limit of a transaction, None where the node estimates nothing."""
    try:
        return await chain.estimate_gas(transaction, basis)
    except ChainError as error:
        log.info("gas_not_estimated block=%s reason=%s", basis.block_hash, error)
        return None


async def _call_with_fees(
    chain: RunsAlone, call: Call, basis: Basis, sender: Address, fees: Mapping[str, object]
) -> bytes:
    """Read a call with its fees, or without fees where the sender could not pay them."""
    try:
        return await chain.call(call, basis, sender=sender, fees=fees)
    except RpcRefused as error:
        if not (fees and lacks_funds(error)):
            raise
        return await chain.call(call, basis, sender=sender)


def lacks_funds(error: RpcRefused) -> bool:
    """Return whether a node refused a transaction because its sender cannot pay for it."""
    return not error.data and classified(error) is Answer.UNFUNDED
