"""Tiers with hysteresis. Entered at once, left only beyond a second threshold."""

from collections.abc import Sequence
from typing import Final

from keeper.margin.settings import SEVERITY, Tiers
from keeper.risk.tiers import Tier


def tier_after(tiers: Tiers, held: Tier, value: int, *, liquidatable: bool) -> Tier:
    """Return the tier of an account that was in ``held`` and now measures ``value``.

    A tier is entered below its first threshold and left at its second. The worst tier is entered
    only by the protocol's verdict.
    """
    for band in tiers.bands:
        inside = SEVERITY[held] >= SEVERITY[band.tier]
        entered = liquidatable if band.tier is Tier.LIQUIDATABLE else value < band.enter
        if entered or liquidatable or (inside and value < band.leave):
            return band.tier
    return Tier.HEALTHY


def breached(tiers: Tiers, value: int, *, liquidatable: bool) -> Sequence[Tier]:
    """List the tiers with an entry threshold above the account's value, worst first."""
    return [
        band.tier
        for band in tiers.bands
        if liquidatable or (value < band.enter and band.tier is not Tier.LIQUIDATABLE)
    ]


def within(tier: Tier) -> tuple[Tier, ...]:
    """Return the tiers that an account in ``tier`` is in, the mildest first."""
    return _WITHIN[tier]


_WITHIN: Final = {
    tier: tuple(one for one, severity in SEVERITY.items() if 0 < severity <= most)
    for tier, most in SEVERITY.items()
}
