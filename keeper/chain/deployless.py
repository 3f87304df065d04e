"""Runs undeployed code by a read, in one of two forms.

As a deployment it works on any node, but is limited to 49,152 bytes of code and 24,576 bytes of
result. As the code of an unused address by a state override it has no such limit, but some nodes do
not support that.
"""

import dataclasses
from typing import Final

from keeper.chain.capabilities import Capability
from keeper.chain.pinned import PinnedReads
from keeper.chain.pinning import BlockParameter
from keeper.chain.refusal import failed_in_evm, is_too_much, is_too_much_code
from keeper.domain.errors import RpcRefused
from keeper.domain.head import Basis, CodeOverride
from keeper.domain.units import Address

LENS: Final = Address("0x00000000000000000000000000000000001E4500")
"""Where code is placed that is deployed nowhere."""


class Deployless:
    """Runs creation code at a pinned block."""

    def __init__(self, reads: PinnedReads) -> None:
        self._reads = reads
        self._capabilities = reads.rpc.capabilities

    async def run(self, initcode: bytes, basis: Basis) -> bytes:
        """Run code as a deployment, or by a state override if it is too large for one."""

        async def ask(endpoint: int, block: BlockParameter) -> bytes:
            return await self.ask(endpoint, block, initcode, basis)

        return await self._reads.read_at(basis, ask)

    async def ask(
        self, endpoint: int, block: BlockParameter, initcode: bytes, basis: Basis
    ) -> bytes:
        """Run at one endpoint, as a deployment first."""
        try:
            return await self._deploy(endpoint, block, initcode, basis)
        except RpcRefused as error:
            if not (is_too_much_code(error) and self._has_overrides(endpoint)):
                raise
            return await self._place(endpoint, block, initcode, basis)

    async def ask_large(
        self, endpoint: int, block: BlockParameter, initcode: bytes, basis: Basis
    ) -> bytes:
        """Run at one endpoint by a state override if supported, for code that may be too large."""
        if not self._has_overrides(endpoint):
            return await self._deploy(endpoint, block, initcode, basis)
        try:
            return await self._place(endpoint, block, initcode, basis)
        except RpcRefused as error:
            if failed_in_evm(error) or is_too_much(error):
                raise
            answer = await self._deploy(endpoint, block, initcode, basis)
            self._capabilities.learn_lack(endpoint, Capability.STATE_OVERRIDES, str(error))
            return answer

    def _has_overrides(self, endpoint: int) -> bool:
        return self._capabilities.has(endpoint, Capability.STATE_OVERRIDES)

    async def _deploy(
        self, endpoint: int, block: BlockParameter, initcode: bytes, basis: Basis
    ) -> bytes:
        transaction = {"data": "0x" + initcode.hex()}
        return await self._reads.ask_call(endpoint, block, transaction, basis)

    async def _place(
        self, endpoint: int, block: BlockParameter, initcode: bytes, basis: Basis
    ) -> bytes:
        lens = CodeOverride(address=LENS, code=initcode)
        placed = dataclasses.replace(basis, overlay=(*basis.overlay, lens))
        transaction = {"to": LENS, "data": "0x"}
        answer = await self._reads.ask_call(endpoint, block, transaction, placed)
        if not answer:
            raise RpcRefused("the node ignores state overrides")
        self._capabilities.learn_success(endpoint, Capability.STATE_OVERRIDES)
        return answer
