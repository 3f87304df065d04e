"""Data fee of rollups for publishing a transaction, charged beside or within its gas."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from keeper.chain.abi import calldata, decoded
from keeper.domain.errors import ChainError, RpcMalformed
from keeper.domain.head import Basis, Head
from keeper.domain.plan import Batch, DataFee
from keeper.domain.reads import Call, CallResult
from keeper.domain.submission import Fees
from keeper.domain.units import Address, Gas, Wei, mul_div_ceil
from keeper.execution.signer import Unsigned, unsigned_payload

GAS_PRICE_ORACLE: Final = Address("0x420000000000000000000000000000000000000F")
"""
The OP stack's predeploy: ``getL1Fee(bytes)`` and, since Fjord, ``getL1FeeUpperBound(uint256)``.

Source: ethereum-optimism/specs, "Fjord execution engine", L1 gas price oracle.
"""
NODE_INTERFACE: Final = Address("0x00000000000000000000000000000000000000C8")
"""
Arbitrum's virtual contract: ``gasEstimateL1Component(address,bool,bytes)``.

Source: OffchainLabs/nitro-contracts ``NodeInterface.sol``.
"""
ARBITRUM_CHAINS: Final = frozenset({42_161, 42_170, 421_614})

_MARGIN: Final = (5, 4)
"""The fee of the layer below may rise until the transaction is published."""
_SAMPLE: Final = Fees(max_fee=Wei(2**40), priority_fee=Wei(2**40))
_SAMPLE_NONCE: Final = 2**20
_NODE_SELECTOR: Final = "gasEstimateL1Component(address,bool,bytes)"


class DataFeeKind(enum.StrEnum):
    """Data-fee model of a chain."""

    NONE = "none"
    OP_STACK = "op_stack"
    ARBITRUM = "arbitrum"


class DataFeeReads(Protocol):
    """Reads of data fees. Each may raise ``ChainError``."""

    async def aggregate(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        """Read calls at one block. A failed call does not affect the others."""
        ...

    async def call(self, call: Call, basis: Basis, *, sender: Address | None = None) -> bytes:
        """Read one call. A revert raises ``RpcRefused``."""
        ...

    async def code(self, address: Address, basis: Basis) -> bytes:
        """Return a contract's code. Empty if no contract."""
        ...


async def kind_of(reader: DataFeeReads, chain_id: int, head: Head) -> DataFeeKind:
    """Detect this chain's data-fee model, by its id or by the predeploy's code."""
    if chain_id in ARBITRUM_CHAINS:
        return DataFeeKind.ARBITRUM
    predeploy = await reader.code(GAS_PRICE_ORACLE, Basis(block_hash=head.hash))
    return DataFeeKind.OP_STACK if predeploy else DataFeeKind.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFees:
    """Fetches data fees from the chain's own contracts."""

    reader: DataFeeReads
    chain_id: int
    kind: DataFeeKind

    async def of(self, batches: Sequence[Batch], head: Head) -> list[DataFee]:
        """Fetch the cost of publishing each batch, rounded up. Free chains need no request.

        Raises:
            ChainError: the chain did not answer.
        """
        basis = Basis(block_hash=head.hash)
        if self.kind is DataFeeKind.OP_STACK:
            return [await self._fetch_op_stack_fee(one, basis) for one in batches]
        if self.kind is DataFeeKind.ARBITRUM:
            return [await self._fetch_arbitrum_fee(one, basis) for one in batches]
        return [DataFee() for _ in batches]

    async def _fetch_op_stack_fee(self, batch: Batch, basis: Basis) -> DataFee:
        """Return the oracle's present fee with a margin, but never above its own upper bound."""
        data = unsigned_payload(_build_unsigned(batch), self.chain_id)
        asked, bound = await self.reader.aggregate(
            [
                _build_oracle_call("getL1Fee(bytes)", data),
                _build_oracle_call("getL1FeeUpperBound(uint256)", len(data)),
            ],
            basis,
        )
        found = [_add_margin(_decode_number(asked))] if asked.success else []
        found += [_decode_number(bound)] if bound.success else []
        if not found:
            raise ChainError(
                "the chain's GasPriceOracle does not say what data costs",
                hint="set chain.data_fee if this is no OP-stack chain",
            )
        return DataFee(fee=Wei(min(found)))

    async def _fetch_arbitrum_fee(self, batch: Batch, basis: Basis) -> DataFee:
        """Return the gas that pays for the data, which is part of the gas limit, and its fee."""
        asked = calldata(_NODE_SELECTOR, batch.executor, False, batch.calldata)  # noqa: FBT003 (no creation)
        answer = await self.reader.call(Call(target=NODE_INTERFACE, data=asked), basis)
        gas, base_fee, _ = decoded(("uint64", "uint256", "uint256"), answer, "the data's gas")
        gas = _add_margin(gas)
        return DataFee(fee=Wei(gas * base_fee), gas=Gas(gas))


def _build_unsigned(batch: Batch) -> Unsigned:
    """Build the transaction with sample fees and a sample nonce of the right size."""
    return Unsigned(
        nonce=_SAMPLE_NONCE,
        to=batch.executor,
        calldata=batch.calldata,
        gas_limit=batch.gas_limit,
        fees=_SAMPLE,
    )


def _add_margin(amount: int) -> int:
    return mul_div_ceil(amount, *_MARGIN)


def _build_oracle_call(signature: str, argument: bytes | int) -> Call:
    return Call(target=GAS_PRICE_ORACLE, data=calldata(signature, argument))


def _decode_number(answer: CallResult) -> int:
    if len(answer.data) != 32:  # noqa: PLR2004 - a word
        raise RpcMalformed("the GasPriceOracle did not return a number")
    return int.from_bytes(answer.data)
