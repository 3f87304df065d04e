"""Deployment data, state and checks of the executor contract."""

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.chain.abi import address_at, calldata, word
from keeper.cli.findings import Finding, fail, ok, warn
from keeper.cli.here import Here
from keeper.domain.errors import EnvironmentFault
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address
from keeper.execution import executor as contract
from keeper.execution.releases import find_release

NOBODY = Address("0x" + "0" * 40)


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Roles of an executor."""

    owner: Address
    receiver: Address
    operators: tuple[Address, ...]


def _get_artifact_name(*, storage_build: bool) -> str:
    return contract.ARTIFACT_STORAGE if storage_build else contract.ARTIFACT


async def creation_code(
    here: Here, roles: Roles, *, storage_build: bool, min_sale_bps: int
) -> bytes:
    """Build the deployment's data, with the allow-lists that the settings need."""
    for market in here.session.markets:
        await market.discover(here.head)
    targets = here.executor_targets()
    return contract.creation_code(
        owner=roles.owner,
        receiver=roles.receiver,
        operators=roles.operators,
        lending_pools=targets.lenders,
        factories=targets.factories,
        wrapped_native=await here.wrapped_native(),
        max_builder_share_bps=here.settings.policy.builder_share_bps,
        min_sale_bps=min_sale_bps,
        artifact=_get_artifact_name(storage_build=storage_build),
    )


async def code_finding(here: Here, executor: Address) -> Finding:
    """Check whether the executor's code is a release, and which features an older one lacks."""
    code = await here.reader.code(executor, here.basis)
    if not code:
        return fail("executor code", f"{executor} has no code", "keeper executor deploy")
    release = find_release(code)
    if release is None:
        return fail(
            "executor code", f"{executor} is no released executor", "keeper executor deploy"
        )
    what = f"{executor} is {release.name}, version {release.version}"
    if release.lacks:
        lacking = "; ".join(release.lacks)
        return warn(
            "executor code", f"{what}, which has {lacking}", "keeper executor deploy --another"
        )
    return ok("executor code", what)


async def limit_findings(here: Here, executor: Address) -> list[Finding]:
    """Check the owner's limits for operators. Empty for a version without limits."""
    share, floor = await _read(here, executor, ["maxBuilderShareBps()", "minSaleBps()"])
    if not (share.success and share.data and floor.success and floor.data):
        return []
    most, wanted = word(share.data, 0), here.settings.policy.builder_share_bps
    if wanted > most:
        first = fail(
            "executor builder share",
            f"at most {most} basis points, and policy.builder_share_bps is {wanted}",
            f"the owner calls setMaxBuilderShare({wanted}), or lower policy.builder_share_bps",
        )
    else:
        first = ok("executor builder share", f"at most {most} basis points of a profit")
    least = word(floor.data, 0)
    detail = (
        f"at least {least} basis points of the protocol's own price"
        if least
        else "no floor: the protocol's own price is not asked"
    )
    return [first, ok("executor sales", detail)]


async def role_findings(here: Here, executor: Address, wallet: Address | None) -> list[Finding]:
    """Check owner, receiver, and whether the wallet may liquidate."""
    names = ["owner()", "pendingOwner()", "receiver()", "paused()"]
    owner, pending, receiver, paused = await _read(here, executor, names)
    found = [_check_owner(address_at(owner.data, 0), wallet)]
    if address_at(pending.data, 0) != NOBODY:
        found.append(warn("executor owner", f"offered to {address_at(pending.data, 0)}"))
    found.append(_check_receiver(address_at(receiver.data, 0), executor, wallet))
    if word(paused.data, 0):
        found.append(fail("executor", "is paused", "the owner calls setPaused(false)"))
    if wallet is not None:
        allowed = await _fetch_allowed(here, executor, "isOperator(address)", [wallet])
        found.append(
            ok("executor operator", f"{wallet} may liquidate")
            if allowed == [True]
            else fail(
                "executor operator",
                f"{wallet} may not liquidate",
                f"the owner calls setOperator({wallet}, true)",
            )
        )
    return found


def _check_owner(owner: Address, wallet: Address | None) -> Finding:
    if owner == wallet:
        return warn(
            "executor owner", f"is the hot key {owner}", "transferOwnership to a cold account"
        )
    return ok("executor owner", owner)


def _check_receiver(receiver: Address, executor: Address, wallet: Address | None) -> Finding:
    if receiver == executor:
        return fail("executor receiver", "is the executor itself", "the owner calls setReceiver")
    if receiver == wallet:
        return warn(
            "executor receiver", f"is the hot key {receiver}", "setReceiver to a cold account"
        )
    return ok("executor receiver", receiver)


async def allow_list_findings(here: Here, executor: Address) -> list[Finding]:
    """Check whether the executor may use the settings' pools and factories."""
    targets, found = here.executor_targets(), []
    for function, setter, addresses in (
        ("isLendingPool(address)", "setLendingPool", targets.lenders),
        ("isFactory(address)", "setFactory", targets.factories),
    ):
        for target, allowed in zip(
            addresses, await _fetch_allowed(here, executor, function, addresses), strict=True
        ):
            what = f"executor {function.partition('(')[0].removeprefix('is')}"
            found.append(
                ok(what, f"{target} is allowed")
                if allowed
                else fail(
                    what, f"{target} is not allowed", f"the owner calls {setter}({target}, true)"
                )
            )
    return found


async def left_over(here: Here, executor: Address) -> dict[Address, int]:
    """Return the executor's balances by token. The zero address is the native coin."""
    tokens = await market_tokens(here)
    calls = [Call(target=token, data=calldata("balanceOf(address)", executor)) for token in tokens]
    amounts = await here.reader.aggregate(calls, here.basis)
    held = {token: _read_word(result) for token, result in zip(tokens, amounts, strict=True)}
    held[NOBODY] = await here.reader.balance(executor, here.basis)
    return {token: amount for token, amount in held.items() if amount}


async def allowances(here: Here, executor: Address) -> list[tuple[Address, Address]]:
    """Return the pairs of token and lending pool with a remaining allowance."""
    tokens, lenders = await market_tokens(here), here.executor_targets().lenders
    pairs = [(token, lender) for token in tokens for lender in lenders]
    calls = [
        Call(target=token, data=calldata("allowance(address,address)", executor, lender))
        for token, lender in pairs
    ]
    results = await here.reader.aggregate(calls, here.basis)
    return [pair for pair, result in zip(pairs, results, strict=True) if _read_word(result)]


async def market_tokens(here: Here) -> list[Address]:
    """Return every token with a price in the (discovered) markets."""
    tokens = dict[Address, None]()
    for market in here.session.markets:
        for snapshot in await here.snapshots(market):
            tokens.update(dict.fromkeys(snapshot.prices))
    return list(tokens)


async def owner_of(here: Here, executor: Address) -> Address:
    """Fetch the executor's owner. EnvironmentFault if it has none."""
    (result,) = await _read(here, executor, ["owner()"])
    if not result.success:
        raise EnvironmentFault(f"{executor} is not an executor", hint="check [[executor]] address")
    return address_at(result.data, 0)


async def receiver_of(here: Here, executor: Address) -> Address:
    """Fetch the receiver of the executor's profits."""
    (result,) = await _read(here, executor, ["receiver()"])
    return address_at(result.data, 0)


async def _read(here: Here, executor: Address, functions: Sequence[str]) -> list[CallResult]:
    calls = [Call(target=executor, data=calldata(function)) for function in functions]
    return await here.reader.aggregate(calls, here.basis)


async def _fetch_allowed(
    here: Here, executor: Address, function: str, addresses: Sequence[Address]
) -> list[bool]:
    calls = [Call(target=executor, data=calldata(function, one)) for one in addresses]
    results = await here.reader.aggregate(calls, here.basis)
    return [bool(_read_word(result)) for result in results]


def _read_word(result: CallResult) -> int:
    return word(result.data, 0) if result.success and result.data else 0
