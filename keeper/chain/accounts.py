"""Code and balance of an account, by their methods or by a few instructions of the EVM."""

from collections.abc import Callable

from keeper.chain import fields
from keeper.chain.capabilities import Capability
from keeper.chain.deployless import Deployless
from keeper.chain.fields import Json
from keeper.chain.pinned import PinnedReads
from keeper.chain.pinning import BlockParameter
from keeper.domain.errors import BlockUnknown, ChainError, RpcBusy, RpcRefused, RpcUnavailable
from keeper.domain.head import Basis
from keeper.domain.units import Address, Wei


class AccountReads:
    """Facts of accounts at a pinned block."""

    def __init__(self, reads: PinnedReads, deployless: Deployless) -> None:
        self._reads = reads
        self._deployless = deployless

    async def code(self, address: Address, basis: Basis) -> bytes:
        """Return a contract's code; empty where there is none."""
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
        """Return an account's native balance."""
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
        """Ask by the method, else by code whose answer has a leading zero byte."""
        rpc = self._reads.rpc

        async def ask(endpoint: int, block: BlockParameter) -> bytes:
            refused: ChainError | None = None
            if rpc.capabilities.has(endpoint, capability):
                try:
                    answer = checked(await rpc.ask(endpoint, str(capability), address, block))
                except ChainError as error:
                    if isinstance(error, RpcUnavailable) and not isinstance(error, RpcBusy):
                        raise
                    refused = error  # a block that is not there yet is not there for a call either
                else:
                    rpc.capabilities.learn_success(endpoint, capability)
                    return answer
            try:
                returned = await self._deployless.ask(endpoint, block, initcode, basis)
            except (RpcRefused, BlockUnknown) as error:
                raise refused or error from None
            if not returned:
                raise refused or RpcRefused("the node runs no code that is not deployed")
            if refused is not None:
                rpc.capabilities.learn_lack(endpoint, capability, str(refused))
            return returned[1:]

        return await self._reads.read_at(basis, ask)


def code_reader(address: Address) -> bytes:
    """
    Return creation code that returns a zero byte and the code of an address.

    EXTCODESIZE; then EXTCODECOPY(address, 1, 0, size) and RETURN(0, size + 1). Without the
    zero byte a node would refuse a delegation (0xef..) as the code to deploy.
    """
    pushed = "73" + address[2:]
    return bytes.fromhex(f"{pushed}3b8060006001{pushed}3c6001016000f3")


def balance_reader(address: Address) -> bytes:
    """Return creation code that returns a zero byte and the balance of an address."""
    return bytes.fromhex(f"73{address[2:]}3160015260216000f3")
