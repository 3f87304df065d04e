"""Margin-call tiers: how closely an account is watched."""

import enum
from dataclasses import dataclass
from typing import Final

from keeper.domain.account import AccountHealth
from keeper.domain.units import WAD, Wad


class Tier(enum.StrEnum):
    """From "sell now" to "look again tomorrow", worst first."""

    LIQUIDATABLE = "liquidatable"
    URGENT = "urgent"
    CALL = "call"
    WATCH = "watch"
    HEALTHY = "healthy"
    UNPRICED = "unpriced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Health factors (wad) below which an account enters a tier; ``urgent < call < watch``."""

    watch: Wad
    call: Wad
    urgent: Wad


DEFAULT: Final = Thresholds(
    watch=Wad(125 * WAD // 100), call=Wad(110 * WAD // 100), urgent=Wad(103 * WAD // 100)
)


def tier_of(health: AccountHealth, thresholds: Thresholds = DEFAULT) -> Tier:
    """
    Return an account's tier.

    Liquidatable is the protocol's own verdict; the others go by health factor. An
    account whose price source failed has no tier but ``UNPRICED``: its health is unknown.
    """
    if health.unpriced:
        return Tier.UNPRICED
    if health.liquidatable:
        return Tier.LIQUIDATABLE
    if health.health_factor < thresholds.urgent:
        return Tier.URGENT
    if health.health_factor < thresholds.call:
        return Tier.CALL
    return Tier.WATCH if health.health_factor < thresholds.watch else Tier.HEALTHY
