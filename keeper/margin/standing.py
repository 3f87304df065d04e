"""Transitions of one account's margin-call state from block to block."""

from collections.abc import Mapping
from dataclasses import replace

from keeper.domain.account import AccountHealth
from keeper.domain.exposure import Exposure
from keeper.domain.parity import Subject
from keeper.domain.units import BPS, WAD, Wad
from keeper.margin.guard import Block
from keeper.margin.settings import SEVERITY, Floor
from keeper.margin.state import Breach, Standing
from keeper.margin.tiers import breached, tier_after, within
from keeper.risk.tiers import Tier

NOBODY = Standing()
"""The state of an account that is not stored."""


def stood(
    block: Block, subject: Subject, before: Standing, health: AccountHealth | None
) -> Standing:
    """Advance one account's state by a block.

    An account without a known health, or with an untrusted price, keeps its state. An account
    without debt or without collateral leaves every tier.
    """
    before = rewound(block, before)
    if health is None:
        return _enter_tier(block, before, Tier.HEALTHY, {})
    if health.unpriced:
        return before
    tiers, verdict = block.settings.tiers, health.liquidatable
    value = block.value(health)
    raw = tier_after(tiers, before.tier, value, liquidatable=verdict)
    breaches = _list_breaches(block, before, value, liquidatable=verdict)
    bare = is_bare(block.facts.exposures.get(subject))
    if raw is before.tier and breaches == before.breaches and before.out is None and not bare:
        return before
    if block.suspicion(subject) is not None:
        return before
    if bare:
        return _enter_tier(block, before, Tier.HEALTHY, {})
    if SEVERITY[raw] > SEVERITY[before.tier]:
        raw = _select_confirmed_tier(block, before, health, raw=raw, breaches=breaches)
    seen = (health.health_factor, block.guarded(subject))
    return _enter_tier(block, before, raw, breaches, seen)


def rewound(block: Block, standing: Standing) -> Standing:
    """Return the account's state after a reorg.

    Whatever began in an orphaned block begins now, or later where it did, so no wait is shortened.
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
    """Whether no collateral backs the debt."""
    return exposure is not None and not sum([leg.collateral for leg in exposure.legs])


def is_below(floor: Floor, health: AccountHealth, exposure: Exposure | None) -> bool:
    """Whether an account is below the policy's floor."""
    if health.health_factor < floor.health:
        return True
    return exposure is not None and bad_debt_distance(exposure) < floor.bad_debt_bps


def bad_debt_distance(exposure: Exposure) -> int:
    """Return the excess of the collateral over debt and bonus (bps, rounded down)."""
    debt = sum([leg.debt for leg in exposure.legs])
    return covered(exposure) * BPS // debt - BPS if debt else BPS


def covered(exposure: Exposure) -> int:
    """Return the debt that the collateral can repay with its bonuses, rounded down."""
    return sum([leg.collateral * WAD // max(leg.bonus, WAD) for leg in exposure.legs])


def _list_breaches(
    block: Block, before: Standing, value: int, *, liquidatable: bool
) -> Mapping[Tier, Breach]:
    """Return the unconfirmed breaches and that of the liquidatable tier, worst first."""
    if not block.settings.guard.confirm:
        return {}
    held, found = SEVERITY[before.tier], dict[Tier, Breach]()
    for tier in breached(block.settings.tiers, value, liquidatable=liquidatable):
        if SEVERITY[tier] > held or tier is Tier.LIQUIDATABLE:
            found[tier] = block.breach(before, tier)
    return found


def _select_confirmed_tier(
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
    for tier, breach in breaches.items():
        worse = SEVERITY[tier] > SEVERITY[before.tier]
        if worse and block.is_confirmed(health, tier, breach):
            return tier
    return before.tier


def _enter_tier(
    block: Block,
    before: Standing,
    tier: Tier,
    breaches: Mapping[Tier, Breach],
    seen: tuple[Wad | None, Wad | None] | None = None,
) -> Standing:
    """Return the state in a tier, with the health and guarded health in ``seen``.

    Constructed instead of replaced for speed, since this dominates a block during a crash.
    """
    health, guarded = (before.health, before.guarded) if seen is None else seen
    if tier is not before.tier:
        held = SEVERITY[tier]
        breaches = {
            one: breach
            for one, breach in breaches.items()
            if SEVERITY[one] > held or one is Tier.LIQUIDATABLE
        }
    return Standing(
        tier=tier,
        entered={one: before.entered.get(one, block.mark) for one in within(tier)},
        breaches=breaches,
        episode=before.episode,
        opened=before.opened,
        told=before.told,
        reminded=before.reminded,
        escalated=before.escalated,
        acknowledged=before.acknowledged,
        out=_advance_time_outside(block, before, tier),
        liquidated=before.liquidated,
        health=health,
        guarded=guarded,
    )


def _advance_time_outside(block: Block, before: Standing, tier: Tier) -> Breach | None:
    """Return the blocks and time outside all tiers, None while the account is in one."""
    if tier is not Tier.HEALTHY:
        return None
    if not before.episode:
        return before.out
    return Breach(since=block.mark) if before.out is None else before.out.again()
