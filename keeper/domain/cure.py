"""Types and limits for cures and clearings with the operator's money."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from keeper.domain.advice import Advice, Cure
from keeper.domain.units import (
    Address,
    Bps,
    MarketKey,
    TokenUnits,
    Wad,
    mul_div_ceil,
    mul_div_floor,
)

CURE_TOLERANCE_BPS: Final = Bps(100)
"""How far below its target a cure may end, in basis points, at most."""


def cure_tolerance(tolerance_bps: int) -> Bps:
    """Return how far below its target a cure may end, from the tolerance of profits."""
    return Bps(min(tolerance_bps, CURE_TOLERANCE_BPS))


class CureReason(enum.StrEnum):
    """Reasons why a listed account that needs a cure gets none."""

    NO_CURE = "no_cure"  # the protocol allows none
    NOT_LISTED = "not_listed"  # the vault's owner has not listed it for so much health
    NO_MONEY = "no_money"  # the vault's balance or a limit does not reach
    CURED_ALREADY = "cured_already"  # in this episode
    GAS_TOO_EXPENSIVE = "gas_too_expensive"
    SIMULATION_FAILED = "simulation_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CureRefusal:
    """A refused cure, with its reason and an explanation for people."""

    reason: CureReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CureStep:
    """A cure as a call of the vault. ``place`` is the pool or market in the vault's list."""

    place: bytes
    kind: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearStep:
    """A clearing as a call of the vault. ``place`` is the pool or market in the vault's list.

    ``usd_per_base`` (numerator, denominator) converts the unit in which the vault counts losses to
    1e-8 dollars.
    """

    place: bytes
    kind: int
    data: bytes
    usd_per_base: tuple[int, int] = (1, 1)

    def usd_ceil(self, loss: int) -> int:
        """Return a loss in 1e-8 dollars, rounded up."""
        return mul_div_ceil(loss, *self.usd_per_base)

    def base_floor(self, usd_e8: int) -> int:
        """Return the base currency that dollars (1e-8) pay for, rounded down."""
        numerator, denominator = self.usd_per_base
        return mul_div_floor(usd_e8, denominator, numerator)


class ClearReason(enum.StrEnum):
    """Reasons why an account with a granted subsidy is not cleared."""

    NO_MONEY = "no_money"  # the vault's balance or a limit does not reach
    LOSS_TOO_HIGH = "loss_too_high"  # with its gas it is more than the subsidy
    SIMULATION_FAILED = "simulation_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearOrder:
    """Order of a clearing by the vault.

    ``amount`` is the most of the debt ``token`` that it repays, ``collateral`` the token that it
    receives.
    """

    market: MarketKey
    account: Address
    token: Address
    amount: TokenUnits
    collateral: Address
    step: ClearStep


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearRefusal:
    """A refused clearing, with its reason and an explanation for people."""

    order: ClearOrder
    reason: ClearReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """Limits on one token's payments to an account, including the vault's balance."""

    balance: TokenUnits
    per_transaction: TokenUnits
    left_today: TokenUnits
    left_for_account: TokenUnits

    @property
    def most(self) -> TokenUnits:
        """The smallest of these limits."""
        return TokenUnits(
            min(self.balance, self.per_transaction, self.left_today, self.left_for_account)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """An account on the operator's cure list.

    Cured from ``tier`` on, up to health factor ``target``.

    ``market`` None means every market.
    """

    account: Address
    market: MarketKey | None
    tier: str
    target: Wad


@dataclass(frozen=True, slots=True, kw_only=True)
class CureOrder:
    """A cure to execute for one account in one episode."""

    market: MarketKey
    account: Address
    tier: str
    episode: int
    target: Wad
    cure: Cure
    step: CureStep


NO_FUNDS: Final = Funds(
    balance=TokenUnits(0),
    per_transaction=TokenUnits(0),
    left_today=TokenUnits(0),
    left_for_account=TokenUnits(0),
)


def affordable(advice: Advice, funds: Mapping[Address, Funds]) -> Cure | CureRefusal:
    """Return the cheapest cure that the funds cover, or the reason for none.

    A cure is never executed in part, since a part does not reach the target.
    """
    if not advice.cures:
        why = "; ".join(advice.impossible) or "it is at its target"
        return CureRefusal(reason=CureReason.NO_CURE, detail=why)
    for cure in advice.cures:
        if cure.amount <= funds.get(cure.token, NO_FUNDS).most:
            return cure
    short = (
        f"{cure.amount} units of {cure.symbol} needed, {funds.get(cure.token, NO_FUNDS).most} to"
        " be had"
        for cure in advice.cures
    )
    return CureRefusal(reason=CureReason.NO_MONEY, detail="; ".join(short))
