"""One account from one block to the next: its tier, its breaches, its episode's beginning."""

from collections.abc import Mapping
from dataclasses import replace

from keeper.domain.account import AccountHealth
from keeper.domain.exposure import Exposure
from keeper.domain.parity import Subject
from keeper.domain.units import BPS, WAD
from keeper.margin.guard import Block
from keeper.margin.settings import SEVERITY, Floor
from keeper.margin.state import Breach, Standing
from keeper.margin.tiers import breached, tier_after, within
from keeper.risk.tiers import Tier

NOBODY = Standing()
"""An account of which nothing is remembered."""


def stood(
    block: Block, subject: Subject, before: Standing, health: AccountHealth | None
) -> Standing:
    """
    Return an account's standing at a block.

    One whose health is unknown, or rests on a price that cannot be trusted, stays as it was;
    one that owes nothing, or has nothing left to lose, is out of every tier.
    """
    before = rewound(block, before)
    if health is None:
        return _moved(block, before, Tier.HEALTHY, {})
    if health.unpriced:
        return before
    tiers, verdict = block.settings.tiers, health.liquidatable
    value = block.value(health)
    raw = tier_after(tiers, before.tier, value, liquidatable=verdict)
    breaches = _breaches(block, before, value, liquidatable=verdict)
    if raw is before.tier and breaches == before.breaches and before.out is None:
        return before
    if block.suspicion(subject) is not None:
        return before
    if is_bare(block.facts.exposures.get(subject)):
        return _moved(block, before, Tier.HEALTHY, {})
    if SEVERITY[raw] > SEVERITY[before.tier]:
        raw = _confirmed(block, before, health, raw=raw, breaches=breaches)
    moved = _moved(block, before, raw, breaches)
    return replace(moved, health=health.health_factor, guarded=block.guarded(subject))


def rewound(block: Block, standing: Standing) -> Standing:
    """
    Return a standing on a chain that took blocks back.

    What began in one of those begins now, or stays where it is later: no wait gets shorter.
    """
    fork = block.fork
    if fork is None:
        return standing
    entered = {
        tier: mark if mark.number <= fork else mark.later(block.mark)
        for tier, mark in standing.entered.items()
    }
    out = standing.out
    if out is not None and out.since.number > fork:
        out = None
    return replace(standing, entered=entered, out=out)


def is_bare(exposure: Exposure | None) -> bool:
    """Whether nothing backs the debt: there is nobody to warn and nothing to take."""
    return exposure is not None and not any(leg.collateral for leg in exposure.legs)


def is_below(floor: Floor, health: AccountHealth, exposure: Exposure | None) -> bool:
    """Whether an account is so bad that no waiting counts."""
    if health.health_factor < floor.health:
        return True
    return exposure is not None and bad_debt_distance(exposure) < floor.bad_debt_bps


def bad_debt_distance(exposure: Exposure) -> int:
    """Return by how much the collateral covers debt and bonus (bps, rounded down)."""
    debt = sum(leg.debt for leg in exposure.legs)
    return covered(exposure) * BPS // debt - BPS if debt else BPS


def covered(exposure: Exposure) -> int:
    """Return how much debt the collateral can repay with its bonuses, rounded down."""
    return sum(leg.collateral * WAD // max(leg.bonus, WAD) for leg in exposure.legs)


def _breaches(
    block: Block, before: Standing, value: int, *, liquidatable: bool
) -> Mapping[Tier, Breach]:
    """Return the breaches that are still to be confirmed, or that acting waits for."""
    if not block.settings.guard.confirm:
        return {}
    below = breached(block.settings.tiers, value, liquidatable=liquidatable)
    return {
        tier: block.breach(before, tier)
        for tier in below
        if tier is Tier.LIQUIDATABLE or SEVERITY[tier] > SEVERITY[before.tier]
    }


def _confirmed(
    block: Block,
    before: Standing,
    health: AccountHealth,
    *,
    raw: Tier,
    breaches: Mapping[Tier, Breach],
) -> Tier:
    """Return the worst tier that the guard lets an account enter."""
    settings, subject = block.settings, (health.market, health.account)
    if not (settings.guard.tiers and settings.guard.confirm):
        return raw
    if is_below(settings.floor, health, block.facts.exposures.get(subject)):
        return raw
    for tier in sorted(breaches, key=SEVERITY.__getitem__, reverse=True):
        worse = SEVERITY[tier] > SEVERITY[before.tier]
        if worse and block.is_confirmed(health, tier, breaches[tier]):
            return tier
    return before.tier


def _moved(block: Block, before: Standing, tier: Tier, breaches: Mapping[Tier, Breach]) -> Standing:
    """Return the standing in a tier; an episode opens with the first one."""
    entered = {one: before.entered.get(one, block.mark) for one in within(tier)}
    breaches = {
        one: breach
        for one, breach in breaches.items()
        if one is Tier.LIQUIDATABLE or SEVERITY[one] > SEVERITY[tier]
    }
    after = replace(before, tier=tier, entered=entered, breaches=breaches)
    if tier is not Tier.HEALTHY:
        return replace(after, out=None)
    if not before.episode:
        return after
    out = before.out
    counted = Breach(since=block.mark) if out is None else out.again()
    return replace(after, out=counted)
