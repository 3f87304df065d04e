"""Curing accounts that the operator lists, with money of his: words and figures."""

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
    """Return how far below its target a cure may end where profits have this tolerance."""
    return Bps(min(tolerance_bps, CURE_TOLERANCE_BPS))


class CureReason(enum.StrEnum):
    """Why a listed account in need is not cured."""

    NO_CURE = "no_cure"  # the protocol allows none
    NOT_LISTED = "not_listed"  # the vault's owner has not listed it for so much health
    NO_MONEY = "no_money"  # the vault's balance or a limit does not reach
    CURED_ALREADY = "cured_already"  # in this episode
    GAS_TOO_EXPENSIVE = "gas_too_expensive"
    SIMULATION_FAILED = "simulation_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class CureRefusal:
    """A no, with its reason, and words for people."""

    reason: CureReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CureStep:
    """A cure in the vault's words; ``place`` is the pool or market as the vault lists it."""

    place: bytes
    kind: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearStep:
    """
    A clearing in the vault's words; ``place`` is the pool or market as the vault opens it.

    ``usd_per_base`` makes 1e-8 dollars of what the vault counts a loss in there: numerator and
    denominator.
    """

    place: bytes
    kind: int
    data: bytes
    usd_per_base: tuple[int, int] = (1, 1)

    def usd_ceil(self, loss: int) -> int:
        """Return what a loss is in 1e-8 dollars, rounded up."""
        return mul_div_ceil(loss, *self.usd_per_base)

    def base_floor(self, usd_e8: int) -> int:
        """Return as much of the place's base currency as dollars (1e-8) pay for, rounded down."""
        numerator, denominator = self.usd_per_base
        return mul_div_floor(usd_e8, denominator, numerator)


class ClearReason(enum.StrEnum):
    """Why an account that was granted a subsidy is not cleared."""

    NO_MONEY = "no_money"  # the vault's balance or a limit does not reach
    LOSS_TOO_HIGH = "loss_too_high"  # with its gas it is more than the subsidy
    SIMULATION_FAILED = "simulation_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearOrder:
    """What the vault is asked for: of which debt how much at most, and what it takes for it."""

    market: MarketKey
    account: Address
    token: Address
    amount: TokenUnits
    collateral: Address
    step: ClearStep


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearRefusal:
    """A no, with its reason, and words for people."""

    order: ClearOrder
    reason: ClearReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Funds:
    """What of a token may go to an account now: the vault's balance and every limit."""

    balance: TokenUnits
    per_transaction: TokenUnits
    left_today: TokenUnits
    left_for_account: TokenUnits

    @property
    def most(self) -> TokenUnits:
        """The least of them."""
        return TokenUnits(
            min(self.balance, self.per_transaction, self.left_today, self.left_for_account)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """
    An account that the operator lists: at which tier it is cured, and to what health factor.

    ``market`` None stands for every market.
    """

    account: Address
    market: MarketKey | None
    tier: str
    target: Wad


@dataclass(frozen=True, slots=True, kw_only=True)
class CureOrder:
    """What is to be done for one account, in one episode of it."""

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
    """
    Return the cheapest cure that there is money for, or why none.

    A cure is never done in part: what does not reach the target is no cure.
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
