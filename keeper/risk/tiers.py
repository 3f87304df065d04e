"""Margin-call tiers by health factor."""

import enum
from dataclasses import dataclass
from typing import Final

from keeper.domain.account import AccountHealth
from keeper.domain.units import WAD, Wad


class Tier(enum.StrEnum):
    """Tiers of an account, worst first."""

    LIQUIDATABLE = "liquidatable"
    URGENT = "urgent"
    CALL = "call"
    WATCH = "watch"
    HEALTHY = "healthy"
    UNPRICED = "unpriced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Health factors (wad) below which a tier is entered. ``urgent < call < watch``."""

    watch: Wad
    call: Wad
    urgent: Wad


DEFAULT: Final = Thresholds(
    watch=Wad(125 * WAD // 100), call=Wad(110 * WAD // 100), urgent=Wad(103 * WAD // 100)
)


def tier_of(health: AccountHealth, thresholds: Thresholds = DEFAULT) -> Tier:
    """Return an account's tier.

    Liquidatable is the protocol's own verdict. The other tiers follow the health factor. An account
    with a failed price source has no known health and is ``UNPRICED``.
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
