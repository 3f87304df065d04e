"""Implementation of ``keeper vault``."""

import json
from collections.abc import Sequence

from keeper.abilities import TakesCures
from keeper.chain.abi import ABI_FOLDER, address_at, calldata, word
from keeper.cli.executor_contract import NOBODY
from keeper.cli.findings import Finding, Level, fail, ok, warn
from keeper.cli.here import Here, here, wallet_key
from keeper.cli.output import print_note
from keeper.cli.owner import owner_account
from keeper.cli.vault_losses import loss_findings
from keeper.cli.words import decimal, health_text
from keeper.composition.wallet import hot_address
from keeper.config import Settings
from keeper.config.curing import CureAccount, CureLimit
from keeper.domain.advice import Cure, CureKind
from keeper.domain.cure import cure_tolerance
from keeper.domain.errors import ConfigError, EnvironmentFault
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import BPS, Address, BaseCurrency, TokenUnits, mul_div_floor
from keeper.domain.value import TokenPrice
from keeper.execution import vault as language
from keeper.execution.signer import checked_key
from keeper.ports import MarketSnapshot


async def deployed(
    settings: Settings,
    *,
    owner: Address,
    operators: Sequence[Address],
    storage_build: bool,
    init_journal: bool = False,
) -> Address:
    """Deploy a vault, verify it, return its address."""
    key = wallet_key(settings.wallet)
    async with here(settings) as place:
        deployer = checked_key(key, settings.chain.id)
        if owner == deployer:
            raise ConfigError(
                "the owner is the hot key: who steals it takes the vault's money",
                hint="--owner 0x...: a cold account",
            )
        artifact = language.ARTIFACT_STORAGE if storage_build else language.ARTIFACT
        code = language.creation_code(
            owner=owner, operators=tuple(operators) or (deployer,), artifact=artifact
        )
        print_note(f"deploying from {deployer}")
        operates = not operators or deployer in operators
        async with owner_account(
            key, place, operates=operates, init_journal=init_journal
        ) as account:
            receipt = await account.send(code)
        if receipt.contract is None:
            raise EnvironmentFault("the receipt names no contract")
        after = Here(session=place.session, head=await place.reader.head(receipt.block_hash))
        finding = await code_finding(after, receipt.contract)
        if finding.level is not Level.OK:
            raise EnvironmentFault(finding.detail, hint="do not use this contract")
        return receipt.contract


async def checked(settings: Settings) -> list[Finding]:
    """Return all findings about the configured vault."""
    if settings.cure.vault is None:
        raise ConfigError("no vault is configured", hint="keeper vault deploy, then cure.vault")
    async with here(settings) as place:
        for market in place.session.markets:
            await market.discover(place.head)
        return await findings(place, settings, hot_address(settings))


async def findings(place: Here, settings: Settings, wallet: Address | None) -> list[Finding]:
    """Return the findings about the vault. The markets must be discovered."""
    vault = settings.cure.vault
    if vault is None:
        return []
    code = await code_finding(place, vault)
    if code.level is not Level.OK:
        return [code]
    snapshots = [one for market in place.session.markets for one in await place.snapshots(market)]
    prices = {token: price for one in snapshots for token, price in one.prices.items()}
    found = [code, *await _check_roles(place, vault, wallet)]
    for limit in settings.cure.limit:
        found += await _check_limit(place, vault, limit, prices.get(limit.token))
    found += await loss_findings(place, vault, snapshots, wanted=settings.cure.clear)
    for account in settings.cure.account:
        found += await _check_account(place, settings, account, snapshots)
    return found


async def code_finding(place: Here, vault: Address) -> Finding:
    """Check whether the vault's code is this version's, byte for byte."""
    code = await place.reader.code(vault, place.basis)
    if not code:
        return fail("vault code", f"{vault} has no code", "keeper vault deploy")
    for name in (language.ARTIFACT, language.ARTIFACT_STORAGE):
        known = json.loads((ABI_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        if code == bytes.fromhex(known["deployedBytecode"].removeprefix("0x")):
            return ok("vault code", f"{vault} is {name}")
    return fail("vault code", f"{vault} is not this version's vault", "keeper vault deploy")


async def _check_roles(place: Here, vault: Address, wallet: Address | None) -> list[Finding]:
    owner, pending, paused = await _read(
        place, vault, [calldata("owner()"), calldata("pendingOwner()"), calldata("paused()")]
    )
    holder = address_at(owner.data, 0)
    found = [
        fail("vault owner", f"is the hot key {holder}", "transferOwnership to a cold account")
        if holder == wallet
        else ok("vault owner", holder)
    ]
    if address_at(pending.data, 0) != NOBODY:
        found.append(warn("vault owner", f"offered to {address_at(pending.data, 0)}"))
    if word(paused.data, 0):
        found.append(fail("vault", "is paused", "the owner calls setPaused(false)"))
    if wallet is not None:
        (allowed,) = await _read(place, vault, [calldata("isOperator(address)", wallet)])
        found.append(
            ok("vault operator", f"{wallet} may cure")
            if word(allowed.data, 0)
            else fail(
                "vault operator",
                f"{wallet} may not cure",
                f"the owner calls setOperator({wallet}, true)",
            )
        )
    return found


async def _check_limit(
    place: Here, vault: Address, limit: CureLimit, price: TokenPrice | None
) -> list[Finding]:
    """Check the vault's limits of a token against the settings, and its balance."""
    if price is None:
        return [fail("vault limit", f"{limit.token} is no token of a configured market")]
    unit, token = 10**price.decimals, limit.token
    wanted = (int(limit.per_transaction * unit), int(limit.per_day * unit))
    limits, balance = await place.reader.aggregate(
        [
            Call(target=vault, data=calldata("limitOf(address)", token)),
            Call(target=token, data=calldata("balanceOf(address)", vault)),
        ],
        place.basis,
    )
    said = (word(limits.data, 0), word(limits.data, 1))
    call = f"the owner calls setLimit({token}, {wanted[0]}, {wanted[1]})"
    name = f"vault limit {price.symbol}"
    held = word(balance.data, 0)
    once, daily, holds = (decimal(one, price.decimals) for one in (*said, held))
    return [
        ok(name, f"{once} a transaction, {daily} a day, as in the settings")
        if said == wanted
        else warn(name, f"the vault has {once} a transaction and {daily} a day", call),
        ok(f"vault {price.symbol}", f"holds {holds}")
        if held
        else warn(f"vault {price.symbol}", "holds none", f"send {price.symbol} to {vault}"),
    ]


async def _check_account(
    place: Here, settings: Settings, listed: CureAccount, snapshots: Sequence[MarketSnapshot]
) -> list[Finding]:
    """Check where the vault lists an account, and its spending limits by token."""
    found = list[Finding]()
    wanted = [one for one in snapshots if listed.market in (None, one.market)]
    for snapshot in wanted:
        if isinstance(snapshot, TakesCures):
            said = await _check_listing(place, settings, listed, snapshot)
            if listed.market is not None or len(wanted) == 1 or said.level is not Level.FAIL:
                found.append(said)
    if not found:
        hint = "say which: market = ... in [[cure.account]], as `keeper scan` names it"
        found.append(fail(f"vault {listed.account}", "is listed in no configured market", hint))
    quiet = settings.margin().tiers.look_below
    if listed.listed.target < quiet:
        detail = (
            f"its target {listed.target} leaves it in a margin call, in which it is not cured again"
        )
        hint = f"a target above {health_text(quiet)}"
        found.append(warn(f"vault {listed.account}", detail, hint))
    for limit in settings.cure.limit:
        found += await _check_account_limit(place, settings, listed, limit, snapshots)
    return found


async def _check_listing(
    place: Here, settings: Settings, listed: CureAccount, snapshot: TakesCures
) -> Finding:
    target, account = listed.listed.target, listed.account
    place_of = snapshot.cure_step(account, _ANY).place
    least_wanted = mul_div_floor(target, BPS - cure_tolerance(settings.policy.tolerance_bps), BPS)
    call = f"the owner calls setListing(0x{place_of.hex()}, {account}, {target}, {least_wanted})"
    asked = language.listing_call(settings.cure.vault or NOBODY, place_of, account)
    (said,) = await place.reader.aggregate([asked], place.basis)
    below, least = language.listing_of(said)
    name, where = f"vault {account}", getattr(snapshot, "market", "")
    if not least:
        return fail(name, f"{where}: not listed", call)
    detail = (
        f"{where}: cured below a health of {health_text(below)}, to {health_text(least)} or more"
    )
    if below < target or least > target:
        return warn(name, f"{detail}; the target is {health_text(target)}", call)
    return ok(name, detail)


async def _check_account_limit(
    place: Here,
    settings: Settings,
    listed: CureAccount,
    limit: CureLimit,
    snapshots: Sequence[MarketSnapshot],
) -> list[Finding]:
    price = next((p for one in snapshots if (p := one.prices.get(limit.token))), None)
    if price is None:
        return []
    wanted = int(limit.per_account * 10**price.decimals)
    data = calldata("accountLimitOf(address,address)", listed.account, limit.token)
    (said,) = await _read(place, settings.cure.vault or NOBODY, [data])
    have, name = word(said.data, 0), f"vault {listed.account}"
    daily = f"{decimal(have, price.decimals)} {price.symbol} a day"
    if have == wanted:
        return [ok(name, f"{daily}, as in the settings")]
    call = f"the owner calls setAccountLimit({listed.account}, {limit.token}, {wanted})"
    return [warn(name, f"the vault gives it {daily}", call)]


async def _read(place: Here, vault: Address, data: Sequence[bytes]) -> list[CallResult]:
    calls = [Call(target=vault, data=one) for one in data]
    return await place.reader.aggregate(calls, place.basis)


_ANY = Cure(
    kind=CureKind.ADD_COLLATERAL,
    token=NOBODY,
    symbol="",
    decimals=0,
    amount=TokenUnits(0),
    value=BaseCurrency(0),
)
"""A cure by which a snapshot says its place: that is the same for all of an account's."""
