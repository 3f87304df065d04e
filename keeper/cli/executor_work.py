"""Implementation of ``keeper executor``."""

from collections.abc import Sequence

from keeper.chain.abi import calldata
from keeper.cli import executor_contract as contract
from keeper.cli.executor_contract import NOBODY
from keeper.cli.findings import Finding, Level, fail, ok, warn
from keeper.cli.here import Here, here, wallet_key
from keeper.cli.owner import OwnerAccount, owner_account
from keeper.config import Settings
from keeper.domain.errors import ConfigError
from keeper.domain.units import Address
from keeper.execution.signer import checked_key


async def checked(settings: Settings, executor: Address) -> list[Finding]:
    """Return all findings about a deployed executor."""
    wallet = _find_wallet_address(settings)
    async with here(settings) as place:
        for market in place.session.markets:
            await market.discover(place.head)
        return await findings(place, executor, wallet)


async def findings(place: Here, executor: Address, wallet: Address | None) -> list[Finding]:
    """Return the findings about an executor. The markets must be discovered."""
    code = await contract.code_finding(place, executor)
    if code.level is Level.FAIL:
        return [code]
    held = await contract.left_over(place, executor)
    allowed = await contract.allowances(place, executor)
    return [
        code,
        *await contract.role_findings(place, executor, wallet),
        *await contract.limit_findings(place, executor),
        *await contract.allow_list_findings(place, executor),
        ok("executor balances", "none")
        if not held
        else warn(
            "executor balances",
            ", ".join(f"{amount} of {_format_token(token)}" for token, amount in held.items()),
            "keeper executor sweep",
        ),
        ok("executor allowances", "none")
        if not allowed
        else fail(
            "executor allowances",
            ", ".join(f"{token} to {lender}" for token, lender in allowed),
            "an executor of ours leaves none: replace it",
        ),
    ]


async def swept(
    settings: Settings, executor: Address, to: Address | None, tokens: Sequence[Address]
) -> list[dict[str, str]]:
    """Send the executor's balances to ``to`` (or its receiver). Return the sent amounts."""
    key = wallet_key(settings.wallet)
    async with here(settings) as place:
        sweeper = checked_key(key, settings.chain.id)
        owner = await contract.owner_of(place, executor)
        if owner != sweeper:
            raise ConfigError(
                f"only the owner {owner} may sweep, and the key is that of {sweeper}",
                hint="run this with the owner's key",
            )
        for market in place.session.markets:
            await market.discover(place.head)
        held = await contract.left_over(place, executor)
        target = to or await contract.receiver_of(place, executor)
        wanted = {one: amount for one, amount in held.items() if not tokens or one in tokens}
        if not wanted:
            return []
        async with owner_account(key, place) as account:
            return [
                await _send_token(account, executor, token, amount, target)
                for token, amount in wanted.items()
            ]


async def _send_token(
    account: OwnerAccount, executor: Address, token: Address, amount: int, target: Address
) -> dict[str, str]:
    data = calldata("rescue(address,address,uint256)", token, target, amount)
    receipt = await account.send(data, executor)
    return {
        "token": token,
        "amount": str(amount),
        "to": target,
        "transaction": receipt.transaction_hash,
    }


def _find_wallet_address(settings: Settings) -> Address | None:
    if settings.wallet.private_key is None and settings.wallet.keystore is None:
        return None
    return checked_key(wallet_key(settings.wallet), settings.chain.id)


def _format_token(token: Address) -> str:
    return "the native coin" if token == NOBODY else token
