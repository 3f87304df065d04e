"""Funds of a vault for an account at one block."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from keeper.config.curing import CureLimit
from keeper.domain import wording
from keeper.domain.account import AccountHealth
from keeper.domain.advice import Cure
from keeper.domain.cure import CureReason, CureRefusal, Funds
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import Address, TokenUnits, Wad
from keeper.execution import vault as language


class VaultChain(Protocol):
    """Vault read. It may raise ``ChainError``."""

    async def aggregate(self, calls: Sequence[Call], basis: Basis) -> list[CallResult]:
        """Read all the calls at one block."""
        ...


@dataclass(slots=True)
class Spent:
    """Funds that the cures of this block already use, by token and by account."""

    tokens: dict[Address, int] = field(default_factory=dict)
    accounts: dict[tuple[Address, Address], int] = field(default_factory=dict)

    def left(self, funds: Funds, account: Address, token: Address) -> Funds:
        """Compute the funds remaining of a token for an account."""
        gone, own = self.tokens.get(token, 0), self.accounts.get((account, token), 0)
        return replace(
            funds,
            balance=TokenUnits(max(0, funds.balance - gone)),
            left_today=TokenUnits(max(0, funds.left_today - gone)),
            left_for_account=TokenUnits(max(0, funds.left_for_account - own)),
        )

    def take(self, account: Address, cure: Cure) -> None:
        """Add a cure."""
        self.tokens[cure.token] = self.tokens.get(cure.token, 0) + cure.amount
        key = (account, cure.token)
        self.accounts[key] = self.accounts.get(key, 0) + cure.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """One vault with the settings' limits beside its own."""

    chain: VaultChain
    vault: Address
    limit_of: Callable[[Address], CureLimit | None] = lambda _: None

    async def listed(self, head: Head, place: bytes, health: AccountHealth) -> Wad | CureRefusal:
        """Return the health factor below which the vault cures an account, or a refusal.

        Raises:
            ChainError: the chain cannot be read.
        """
        account = health.account
        call = language.listing_call(self.vault, place, account)
        (answer,) = await self.chain.aggregate([call], Basis(block_hash=head.hash))
        below, least = language.listing_of(answer)
        if least and health.health_factor < below:
            return below
        detail = (
            f"the vault cures it below a health factor of {wording.health(below)} only"
            if least
            else f"the vault's owner has not listed it: setListing(0x{place.hex()}, {account}, ..)"
        )
        return CureRefusal(reason=CureReason.NOT_LISTED, detail=detail)

    async def funds(
        self, head: Head, account: Address, tokens: Mapping[Address, int | None]
    ) -> dict[Address, Funds]:
        """Fetch the vault's funds for an account by token. ``tokens`` has their decimals.

        Raises:
            ChainError: the chain cannot be read.
        """
        calls = [
            call for token in tokens for call in language.funds_calls(self.vault, account, token)
        ]
        answers = await self.chain.aggregate(calls, Basis(block_hash=head.hash))
        size = language.FUNDS_CALLS
        return {
            token: self._apply_limits(
                language.funds_of(answers[at * size : (at + 1) * size]), token, decimals
            )
            for at, (token, decimals) in enumerate(tokens.items())
        }

    def _apply_limits(self, funds: Funds, token: Address, decimals: int | None) -> Funds:
        """Limit the funds by the settings. The vault itself counts a day's limit."""
        limit = self.limit_of(token)
        if limit is None or decimals is None:
            return funds
        most, own = (int(one * 10**decimals) for one in (limit.per_transaction, limit.per_account))
        return replace(
            funds,
            per_transaction=TokenUnits(min(funds.per_transaction, most)),
            left_for_account=TokenUnits(min(funds.left_for_account, own)),
        )
