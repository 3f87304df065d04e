"""Settings of cures and their spending limits."""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from keeper.config.section import Section
from keeper.config.types import AddressText, Exact, Flag, Text, Whole, refuse
from keeper.domain.cure import Listed
from keeper.domain.units import WAD, Address, MarketKey, Wad, Wei

MOST_TOKENS = Decimal(10**15)

TierName = Annotated[
    Literal["watch", "call", "urgent", "liquidatable"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]
Tokens = Annotated[Exact, Field(gt=0, le=MOST_TOKENS)]
"""Whole tokens, exact."""


class CureAccount(Section):
    """One account to cure when it reaches ``tier``, up to the health factor ``target``.

    With a target inside a tier the margin call does not end. The account is not cured again before
    it has left every tier.
    """

    account: AddressText
    market: Text | None = None
    tier: TierName = "urgent"
    target: Exact = Field(default=Decimal("1.30"), gt=1, le=10)

    @property
    def listed(self) -> Listed:
        """The account as data for pure code."""
        return Listed(
            account=self.account,
            market=None if self.market is None else MarketKey(self.market),
            tier=self.tier,
            target=Wad(int(self.target * WAD)),
        )


class CureLimit(Section):
    """Spending limits of a token, in whole tokens. The vault's owner sets the same on chain."""

    token: AddressText
    per_transaction: Tokens
    per_day: Tokens
    per_account: Tokens

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if max(self.per_transaction, self.per_account) > self.per_day:
            refuse("per_transaction and per_account cannot be more than per_day")
        return self


class Cure(Section):
    """Accounts to cure, with the vault and the maximum gas cost.

    With ``clear`` the vault takes over accounts without a profitable sale, within the subsidy.
    """

    vault: AddressText | None = None
    clear: Flag = False
    max_gas_eth: Exact = Field(default=Decimal("0.05"), gt=0, le=10**9)
    holds_hours: Whole = Field(default=24, ge=0, le=24 * 365)
    account: tuple[CureAccount, ...] = ()
    limit: tuple[CureLimit, ...] = ()

    @model_validator(mode="after")
    def _check_agreement(self) -> Self:
        if self.account and self.vault is None:
            refuse(
                "accounts are to be cured, but cure.vault is not set", hint="keeper vault deploy"
            )
        if self.clear and self.vault is None:
            refuse("cure.clear is on, but cure.vault is not set", hint="keeper vault deploy")
        pairs = [(one.account, one.market) for one in self.account]
        if len(set(pairs)) < len(pairs):
            refuse("the same account is listed twice for the same market")
        tokens = [one.token for one in self.limit]
        if len(set(tokens)) < len(tokens):
            refuse("the same token has two limits")
        return self

    @property
    def max_gas(self) -> Wei:
        """The maximum gas cost of one cure."""
        return Wei(int(self.max_gas_eth * WAD))

    def limit_of(self, token: Address) -> CureLimit | None:
        """Return a token's limits, None where only the vault's own apply."""
        return next((one for one in self.limit if one.token == token), None)
