"""Simulated executor that is deployed nowhere, with the release's code at an unused address.

A dry run then needs no executor, no key and no money. Code, storage and balance are state overrides
of each simulation, and nothing of it can be sent.
"""

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from eth_hash.auto import keccak

from keeper.chain.abi import ABI_FOLDER, WORD, calldata, selector
from keeper.chain.fields import Json
from keeper.chain.pinned import state_overrides
from keeper.domain.errors import ConfigError, EnvironmentFault, RpcMalformed, RpcRefused
from keeper.domain.head import Basis, CodeOverride, Head
from keeper.domain.plan import Batch, Plan, SimulatedBatch
from keeper.domain.reads import Call
from keeper.domain.units import WAD, Address, Gas, Wei
from keeper.execution.executor import ARTIFACT, ARTIFACT_STORAGE, LIQUIDATE_SIGNATURE
from keeper.execution.idle import Unsimulated
from keeper.execution.simulator import ExecutorSimulator, SimulatingChain
from keeper.ports import ExecutorTargets

log = logging.getLogger(__name__)

EXECUTOR: Final = Address("0x00000000000000000000000000000000001e4501")
OPERATOR: Final = Address("0x00000000000000000000000000000000001E4502")
OWNER: Final = Address("0x00000000000000000000000000000000001e4503")
"""An unused address. The owner is the receiver, too."""

OWNER_PLACE: Final = 0
RECEIVER_PLACE: Final = 2
OPERATORS_PLACE: Final = 3
LENDERS_PLACE: Final = 4
FACTORIES_PLACE: Final = 5
LIMITS_PLACE: Final = 6
"""Storage slots of ``Access``'s variables (contracts/src/Access.sol)."""

BALANCE: Final = Wei(1_000_000 * WAD)
RETRY_SECONDS: Final = 60.0
"""Pause before a node without state overrides is asked again."""

INSTEAD: Final = "plans are taken at their word, without the executor's step"

_WORKED_NOT: Final = selector("NothingWorked(bytes[])")
_FOR_EVER: Final = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Executor setup with allow-lists, wrapped native coin and cap of the builder's share."""

    targets: ExecutorTargets
    wrapped: Address
    builder_share_bps: int


def overlay_of(setup: Setup, artifact: str) -> tuple[CodeOverride, CodeOverride]:
    """Build overrides with the executor as constructed and an operator with money for gas.

    Raises:
        EnvironmentFault: the artifact is missing or broken.
    """
    allowed = {_compute_mapping_slot(OPERATOR, OPERATORS_PLACE)}
    allowed |= {_compute_mapping_slot(lender, LENDERS_PLACE) for lender in setup.targets.lenders}
    allowed |= {
        _compute_mapping_slot(factory, FACTORIES_PLACE) for factory in setup.targets.factories
    }
    storage = {
        _encode_number(OWNER_PLACE): _encode_address_word(OWNER),
        _encode_number(RECEIVER_PLACE): _encode_address_word(OWNER),
        _encode_number(LIMITS_PLACE): _encode_number(setup.builder_share_bps),
        **dict.fromkeys(sorted(allowed), _encode_number(1)),
    }
    executor = CodeOverride(
        address=EXECUTOR,
        code=_load_runtime_code(artifact, setup.wrapped),
        storage=tuple(storage.items()),
    )
    return executor, CodeOverride(address=OPERATOR, code=b"", balance=BALANCE)


class OverlaidChain:
    """Simulating chain with state overrides added to every block. ``overlay`` may change."""

    def __init__(self, chain: SimulatingChain) -> None:
        self._chain = chain
        self.overlay: tuple[CodeOverride, ...] = ()

    async def simulate_v1(
        self, payload: Mapping[str, object], basis: Basis
    ) -> list[Mapping[str, Json]]:
        """Run blocks of calls on top of the pinned block and the overlay."""
        blocks = payload.get("blockStateCalls")
        first, *others = blocks if isinstance(blocks, Sequence) else [{}]
        given = first.get("stateOverrides", {})
        first = {**first, "stateOverrides": {**given, **state_overrides(self.overlay)}}
        return await self._chain.simulate_v1(
            {**payload, "blockStateCalls": [first, *others]}, basis
        )

    async def call(
        self,
        call: Call,
        basis: Basis,
        *,
        sender: Address | None = None,
        fees: Mapping[str, object] | None = None,
    ) -> bytes:
        """Read one call on the overlay. A revert raises ``RpcRefused`` with its data."""
        return await self._chain.call(call, self._add_overlay(basis), sender=sender, fees=fees)

    async def estimate_gas(self, transaction: Mapping[str, object], basis: Basis) -> Gas:
        """Return the gas that a transaction needs on the overlay."""
        return await self._chain.estimate_gas(transaction, self._add_overlay(basis))

    def _add_overlay(self, basis: Basis) -> Basis:
        return replace(basis, overlay=(*basis.overlay, *self.overlay))


@dataclass(slots=True, kw_only=True)
class MadeUpSimulator:
    """``Simulator`` of an executor that is deployed nowhere.

    ``describe`` returns its setup when first needed. If a node does not support state overrides,
    plans keep their expected results, which is logged once. It is tried again later.
    """

    chain: OverlaidChain
    inner: ExecutorSimulator
    describe: Callable[[], Awaitable[Setup]]
    clock: Callable[[], float] = time.monotonic
    _artifact: str = ""
    _retry_at: float = 0.0
    _is_logged: bool = False
    _unsimulated: Unsimulated = field(default_factory=Unsimulated)

    def batch(self, plans: Sequence[Plan], *, net_profit: Wei, gas_limit: Gas) -> Batch:
        """Build the transaction for an executor of one's own."""
        return self.inner.batch(plans, net_profit=net_profit, gas_limit=gas_limit)

    async def simulated(self, batches: Sequence[Batch], head: Head) -> list[SimulatedBatch]:
        """Simulate the batches on ``head`` with the overlay, or return their expected results.

        Raises:
            RpcUnavailable: the node did not answer.
            SnapshotReorged: the block is no longer canonical.
        """
        if batches and await self._ensure_overlay(head):
            return await self.inner.simulated(batches, head)
        return await self._unsimulated.simulated(batches, head)

    async def _ensure_overlay(self, head: Head) -> bool:
        """Set the overlay, and return whether the node runs the executor there."""
        if self.clock() < self._retry_at:
            return False
        try:
            setup = await self.describe()
            if self._artifact:
                self.chain.overlay = overlay_of(setup, self._artifact)
                return True
            for artifact in (ARTIFACT, ARTIFACT_STORAGE):
                self.chain.overlay = overlay_of(setup, artifact)
                if await self._is_running(head):
                    self._artifact = artifact
                    return True
            reason = "the node overlooks state overrides, or does not run the executor's code"
        except (RpcRefused, RpcMalformed, ConfigError) as error:
            reason = str(error)
        self._retry_at = self.clock() + RETRY_SECONDS
        if not self._is_logged:
            log.warning(
                'simulation_left_out block=%d instead="%s" reason="%s"',
                head.number,
                INSTEAD,
                reason,
            )
            self._is_logged = True
        return False

    async def _is_running(self, head: Head) -> bool:
        """Return whether the executor itself rejects an empty call, which proves code and roles."""
        nothing = calldata(LIQUIDATE_SIGNATURE, [], _FOR_EVER, 0)
        call = Call(target=EXECUTOR, data=nothing)
        try:
            await self.chain.call(call, Basis(block_hash=head.hash), sender=OPERATOR)
        except RpcRefused as error:
            return error.data.startswith(_WORKED_NOT)
        return False


def _load_runtime_code(artifact: str, wrapped: Address) -> bytes:
    """Load a build's runtime code with its only immutable, the wrapped coin, filled in."""
    try:
        built = json.loads((ABI_FOLDER / f"{artifact}.json").read_text(encoding="utf-8"))
        code = bytearray.fromhex(str(built["deployedBytecode"]).removeprefix("0x"))
        places = [int(start) for start in built["immutables"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise EnvironmentFault(f"the artifact of {artifact} is missing or broken") from None
    for start in places:
        code[start : start + WORD] = _encode_address_word(wrapped)
    return bytes(code)


def _compute_mapping_slot(key: Address, place: int) -> bytes:
    """Compute the storage slot of an address in the mapping at ``place``."""
    return keccak(_encode_address_word(key) + _encode_number(place))


def _encode_address_word(address: Address) -> bytes:
    return bytes.fromhex(address[2:]).rjust(WORD, b"\0")


def _encode_number(value: int) -> bytes:
    return value.to_bytes(WORD)
