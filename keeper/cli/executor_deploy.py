"""Deployment of the executor, with its checks before and its settings after."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import rlp
from eth_hash.auto import keccak

from keeper.chain.abi import checksum
from keeper.cli import executor_contract as contract
from keeper.cli.executor_contract import Roles
from keeper.cli.findings import Level
from keeper.cli.here import Here, here, wallet_key
from keeper.cli.output import print_note
from keeper.cli.owner import owner_account
from keeper.composition.bidding import fee_policy
from keeper.composition.executors import read_executor
from keeper.config import Settings
from keeper.domain.errors import ConfigError, EnvironmentFault
from keeper.domain.units import WAD, Address, Gas, Wei
from keeper.execution.fee_quotes import NodeFees
from keeper.execution.fees import FeeOracle
from keeper.execution.releases import find_release
from keeper.execution.signer import LOCAL_CHAINS, checked_key
from keeper.exposure import open_private

EARLIER_NONCES: Final = 32
"""How many of the deployer's newest nonces are looked at for an executor made before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Options of `keeper executor deploy`.

    ``assume_yes`` answers the question about the cost. ``another`` deploys although there is an
    executor. ``write_to`` is the settings file that the new executor is written to, if any.
    """

    owner: Address | None
    receiver: Address | None
    operators: Sequence[Address]
    storage_build: bool
    min_sale_bps: int = 0
    init_journal: bool = False
    assume_yes: bool = False
    another: bool = False
    write_to: Path | None = None


async def deploy_executor(settings: Settings, wanted: Deployment) -> Address:
    """Deploy an executor for the settings' markets and venues, verify it, return its address.

    Raises:
        ConfigError: no owner is named on a real chain, there is an executor already, or the
            cost was not agreed to.
        EnvironmentFault: the deployment failed, or the deployed code is not the release.
    """
    key = wallet_key(settings.wallet)
    local = settings.chain.id in LOCAL_CHAINS
    if wanted.owner is None and not local:
        raise ConfigError(
            "an executor needs an owner: it may change where profits go",
            hint="--owner 0x...: a cold account, not the hot key",
        )
    async with here(settings) as place:
        deployer = checked_key(key, settings.chain.id)
        owner = wanted.owner or deployer
        roles = Roles(
            owner=owner,
            receiver=wanted.receiver or owner,
            operators=tuple(wanted.operators) or (deployer,),
        )
        if not (wanted.another or local):
            await _refuse_second(place, deployer)
        code = await contract.creation_code(
            place, roles, storage_build=wanted.storage_build, min_sale_bps=wanted.min_sale_bps
        )
        cost = await _estimate_cost(place, deployer, code)
        _show_terms(deployer, roles, cost, settings.chain.id)
        if not (local or wanted.assume_yes):
            await _confirm_cost()
        operates = deployer in roles.operators
        async with owner_account(
            key, place, operates=operates, init_journal=wanted.init_journal
        ) as account:
            receipt = await account.send(code)
        if receipt.contract is None:
            raise EnvironmentFault("the receipt names no contract")
        after = Here(session=place.session, head=await place.reader.head(receipt.block_hash))
        finding = await contract.code_finding(after, receipt.contract)
        if finding.level is not Level.OK:
            raise EnvironmentFault(finding.detail, hint="do not use this contract")
        _write_settings(receipt.contract, wanted.write_to)
        return receipt.contract


async def _refuse_second(place: Here, deployer: Address) -> None:
    """Refuse to deploy if the settings, or the deployer's last nonces, have an executor."""
    for executor in place.settings.executor:
        if await place.reader.code(executor.address, place.basis):
            raise ConfigError(
                f"the settings have an executor already: {executor.name!r} at {executor.address}",
                hint="check it with `keeper executor check`, or deploy a further one: --another",
            )
    mined = await place.reader.transaction_count(deployer)
    addresses = [
        created_address(deployer, nonce) for nonce in range(max(0, mined - EARLIER_NONCES), mined)
    ]
    codes = await asyncio.gather(
        *(place.reader.code(address, place.basis) for address in addresses)
    )
    for address, code in zip(addresses, codes, strict=True):
        if find_release(code) is None:
            continue
        deployed = await read_executor(place.reader, address, place.head)
        raise ConfigError(
            f"{deployer} deployed an executor already: {address}, owned by {deployed.owner}",
            hint="put it into the settings as [[executor]], or deploy a further one: --another",
        )


def created_address(deployer: Address, nonce: int) -> Address:
    """Compute the address of the contract that an account's transaction creates.

    It is the hash of the RLP of sender and nonce. Source: the yellow paper, section 7.
    """
    encoded = rlp.encode([bytes.fromhex(deployer[2:]), nonce])
    return checksum("0x" + keccak(encoded)[-20:].hex())


async def _estimate_cost(place: Here, deployer: Address, code: bytes) -> tuple[Gas, Wei]:
    """Return the deployment's gas and the present gas price."""
    call = {"from": deployer, "data": "0x" + code.hex()}
    gas = await place.reader.estimate_gas(call, place.basis)
    source, chain_id = NodeFees(rpc=place.reader.rpc), place.settings.chain.id
    fees = FeeOracle(source, chain_id, fee_policy(place.settings))
    return gas, await fees.gas_price(place.head)


def _show_terms(deployer: Address, roles: Roles, cost: tuple[Gas, Wei], chain_id: int) -> None:
    gas, price = cost
    print_note(
        f"deploys from {deployer} on chain {chain_id}: {gas} gas,"
        f" about {_format_ether_ceil(gas * price)} ETH"
    )
    print_note(f"  owner     {roles.owner}")
    print_note(f"  receiver  {roles.receiver}")
    print_note(f"  operators {', '.join(roles.operators)}")
    if deployer in (roles.owner, roles.receiver):
        print_note("  the deploying key is owner or receiver: it must not be the hot key")


async def _confirm_cost() -> None:
    """Ask for consent to the cost."""
    if not sys.stdin.isatty():
        raise ConfigError(
            "nobody is there to agree to the cost", hint="--yes agrees to it beforehand"
        )
    sys.stderr.write("deploy it? [y/N] ")
    sys.stderr.flush()
    answer = await asyncio.to_thread(sys.stdin.readline)
    if answer.strip().lower() not in ("y", "yes"):
        raise ConfigError("not deployed", hint="answer y, or pass --yes")


def _write_settings(address: Address, file: Path | None) -> None:
    """Print the settings' lines of a new executor, and write them if requested."""
    lines = f'[[executor]]\naddress = "{address}"\n'
    if file is None:
        print_note("put this into the settings (or deploy with --write):")
        print_note(lines.rstrip())
        return
    text = file.read_text(encoding="utf-8")
    scratch = file.with_name(f".{file.name}.new")
    with os.fdopen(open_private(scratch), "w", encoding="utf-8") as opened:
        opened.write(text.rstrip("\n") + "\n\n" + lines)
    scratch.replace(file)
    print_note(f"wrote [[executor]] to {file}")


def _format_ether_ceil(wei: int) -> str:
    """Return an amount in ether with six decimals, rounded up."""
    micro = -(-wei * 10**6 // WAD)
    return f"{micro // 10**6}.{micro % 10**6:06d}"
