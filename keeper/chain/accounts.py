"""Reads code and balance of an account by their methods, or by a few EVM instructions."""

from collections.abc import Callable

from keeper.chain import fields
from keeper.chain.capabilities import Capability
from keeper.chain.code_readers import balance_reader, code_reader
from keeper.chain.deployless import Deployless
from keeper.chain.fields import Json
from keeper.chain.pinned import PinnedReads
from keeper.chain.pinning import BlockParameter
from keeper.domain.errors import BlockUnknown, ChainError, RpcBusy, RpcRefused, RpcUnavailable
from keeper.domain.head import Basis
from keeper.domain.units import Address, Wei


class AccountReads:
    """Account reads at a pinned block."""

    def __init__(self, reads: PinnedReads, deployless: Deployless) -> None:
        self._reads = reads
        self._deployless = deployless

    async def code(self, address: Address, basis: Basis) -> bytes:
        """Fetch a contract's code. Empty if there is none."""
        for override in basis.overlay:
            if override.address == address:
                return override.code
        return await self._read(
            Capability.CODE,
            address,
            basis,
            lambda value: fields.data(value, "the code"),
            code_reader(address),
        )

    async def balance(self, address: Address, basis: Basis) -> Wei:
        """Fetch an account's native balance."""
        answer = await self._read(
            Capability.BALANCE,
            address,
            basis,
            lambda value: fields.quantity(value, "the balance").to_bytes(32),
            balance_reader(address),
        )
        return Wei(int.from_bytes(answer))

    async def _read(
        self,
        capability: Capability,
        address: Address,
        basis: Basis,
        checked: Callable[[Json], bytes],
        initcode: bytes,
    ) -> bytes:
        """Read by the method, or by EVM code if the method is refused or returns nothing."""
        capabilities = self._reads.rpc.capabilities

        async def ask(endpoint: int, block: BlockParameter) -> bytes:
            answer, reason = b"", "the method answers nothing where there is something"
            refused: ChainError | None = None
            if not capabilities.has(endpoint, capability):
                refused = RpcRefused(f"the node does not answer {capability}")
            else:
                try:
                    answer = checked(
                        await self._reads.rpc.ask(endpoint, str(capability), address, block)
                    )
                except ChainError as error:
                    if isinstance(error, RpcUnavailable) and not isinstance(error, RpcBusy):
                        raise
                    refused, reason = error, str(error)
                else:
                    if answer:
                        capabilities.learn_success(endpoint, capability)
                        return answer
            seen = await self._run(endpoint, block, initcode, basis)
            if seen is None:
                if refused is not None:
                    raise refused
                return answer
            if refused is not None or seen != answer:
                capabilities.learn_lack(endpoint, capability, reason)
            return seen

        return await self._reads.read_at(basis, ask)

    async def _run(
        self, endpoint: int, block: BlockParameter, initcode: bytes, basis: Basis
    ) -> bytes | None:
        """Return the data that EVM code reads, without its leading zero byte.

        None if it is refused.
        """
        try:
            returned = await self._deployless.ask(endpoint, block, initcode, basis)
        except (RpcRefused, BlockUnknown):
            return None
        return returned[1:] if returned else None
