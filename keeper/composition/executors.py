"""Executors allowed for live runs, with released code and roles apart from the hot key."""

from dataclasses import dataclass

from keeper.chain.abi import address_at, calldata
from keeper.chain.reader import NodeReader
from keeper.config import Executor
from keeper.domain.errors import EnvironmentFault, RpcMalformed
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call
from keeper.domain.units import Address
from keeper.execution.releases import Release, find_release


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedExecutor:
    """On-chain state of an executor. ``release`` is None for unreleased code."""

    address: Address
    release: Release | None
    owner: Address
    receiver: Address


async def read_executor(reader: NodeReader, address: Address, head: Head) -> DeployedExecutor:
    """Read an executor's release and roles.

    Raises:
        EnvironmentFault: there is no executor at the address.
    """
    basis = Basis(block_hash=head.hash)
    code = await reader.code(address, basis)
    calls = [Call(target=address, data=calldata(f"{role}()")) for role in ("owner", "receiver")]
    owner, receiver = await reader.aggregate(calls, basis)
    try:
        return DeployedExecutor(
            address=address,
            release=find_release(code),
            owner=address_at(owner.data, 0),
            receiver=address_at(receiver.data, 0),
        )
    except RpcMalformed:
        raise EnvironmentFault(
            f"there is no executor at {address}", hint="run `keeper executor deploy`"
        ) from None


async def refuse_unfit_executor(
    reader: NodeReader, executor: Executor, hot: Address, head: Head
) -> None:
    """Raise EnvironmentFault for an executor unfit for real money.

    Its code must be a release's apart from immutables. Unless ``allow_hot_roles`` is set, the hot
    key must neither own it nor receive its profits, since a thief of the key would have both.
    """
    deployed = await read_executor(reader, executor.address, head)
    if deployed.release is None:
        raise EnvironmentFault(
            f"the code of executor {executor.name!r} at {executor.address} is no release's",
            hint="deploy one with `keeper executor deploy`, or correct [[executor]] address",
        )
    if executor.allow_hot_roles:
        return
    for role, account, setter in (
        ("owner", deployed.owner, "transferOwnership"),
        ("receiver", deployed.receiver, "setReceiver"),
    ):
        if account == hot:
            raise EnvironmentFault(
                f"the hot key {hot} is the {role} of the executor {executor.address}: whoever"
                " steals the key takes everything",
                hint=f"call {setter} with a cold account, or set allow_hot_roles = true in"
                " [[executor]] if you accept that",
            )
