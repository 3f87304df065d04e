"""Accounts that the policy holds back at a block, and the order of the others."""

from collections.abc import Mapping, Sequence

from keeper.domain import wording
from keeper.domain.account import AccountHealth
from keeper.domain.decision import SkipReason
from keeper.domain.exposure import Exposure
from keeper.domain.parity import Subject
from keeper.domain.restraint import FREE, Restraint, Wait
from keeper.domain.units import BPS, Timestamp, mul_div_ceil
from keeper.margin import words
from keeper.margin.facts import BlockFacts
from keeper.margin.guard import Block
from keeper.margin.settings import DAY, NO_WAIT, MarginSettings, Order
from keeper.margin.standing import NOBODY, covered, is_below, stood
from keeper.margin.state import MarginState, Standing
from keeper.risk.tiers import Tier


def restrained(settings: MarginSettings, state: MarginState, facts: BlockFacts) -> Restraint:
    """Apply the policy to every liquidatable account of a block.

    The result is the same with ``state`` from before the block or advanced by it.
    """
    block = Block(settings, state, facts)
    past = {subject: one for subject, one in facts.accounts.items() if one.liquidatable}
    if not past or not (settings.waits or block.has_doubts):
        return FREE
    waits = dict[Subject, Wait]()
    for subject, health in sorted(past.items()):
        wait = _find_wait(block, subject, health)
        if wait is not None:
            waits[subject] = wait
    free = {subject: one for subject, one in past.items() if subject not in waits}
    ranks = _rank_by_risk(block, free) if settings.order is Order.BAD_DEBT else {}
    ordered = sorted(free, key=lambda one: (ranks.get(one, 0), one))
    return Restraint(waits=waits, ranks=ranks, subsidies=_grant_subsidies(block, free, ordered))


def subsidy_left(settings: MarginSettings, state: MarginState, now: int) -> int:
    """Return the unreserved part of the last day's subsidy, in 1e-8 dollars."""
    spent = sum(one.usd_e8 for one in state.reservations if now - one.timestamp < DAY)
    return max(0, settings.subsidy.per_day_usd_e8 - spent)


def risk_usd_e8(block: Block, subject: Subject, exposure: Exposure) -> int:
    """Return the bad debt after a fall of all collateral by the shock, rounded up."""
    debt = sum(leg.debt for leg in exposure.legs)
    kept = covered(exposure) * (BPS - block.settings.shock_bps) // BPS
    base = mul_div_ceil(max(0, debt - kept), exposure.per_base[0], exposure.per_base[1])
    numerator, denominator = block.stated(subject[0]).usd_per_base or (1, 1)
    return mul_div_ceil(base, numerator, denominator)


def _find_wait(block: Block, subject: Subject, health: AccountHealth) -> Wait | None:
    """Return the reason why an account waits. The floor does not override an untrusted price."""
    suspicion = block.suspicion(subject)
    if suspicion is not None:
        detail = f"{suspicion.check}: {suspicion.detail}"
        return Wait(reason=SkipReason.ORACLE_SUSPECT, detail=detail)
    settings = block.settings
    exposure = block.facts.exposures.get(subject)
    if is_below(settings.floor, health, exposure):
        return None
    before = block.state.standings.get(subject, NOBODY)
    standing = before if block.knows(subject) else stood(block, subject, before, health)
    return _wait_for_confirmation(block, health, standing) or _wait_for_grace(block, standing)


def _wait_for_confirmation(block: Block, health: AccountHealth, standing: Standing) -> Wait | None:
    guard, tier = block.settings.guard, Tier.LIQUIDATABLE
    if not (guard.acting and guard.confirm):
        return None
    breach = standing.breaches.get(tier) or block.breach(standing, tier)
    if block.is_confirmed(health, tier, breach):
        return None
    methods = (" and " if guard.every else " or ").join(
        words.method(guard, one) for one in guard.confirm
    )
    guarded = block.guarded((health.market, health.account))
    steadied = "" if guarded is None else f", {wording.health(guarded)} at the window's"
    detail = (
        f"seen in {words.blocks(breach.count)} since block {breach.since.number}, to be confirmed"
        f" by {methods}; health {wording.health(health.health_factor)} at raw prices{steadied}"
    )
    return Wait(reason=SkipReason.SPIKE_UNCONFIRMED, detail=detail)


def _wait_for_grace(block: Block, standing: Standing) -> Wait | None:
    settings = block.settings
    ends = list[tuple[int, int]]()
    for tier, span in settings.grace.items():
        since = standing.entered.get(tier, block.mark)
        if span == NO_WAIT or since.is_over(span, block.facts, both_clocks=settings.both_clocks):
            continue
        ends.append((since.timestamp + span.seconds, since.number + span.blocks))
    if not ends:
        return None
    until, until_block = max(one for one, _ in ends), max(one for _, one in ends)
    return Wait(
        reason=SkipReason.POLICY_GRACE,
        detail=f"grace until block {until_block} and {wording.moment(until)} by the chain's clock",
        until=Timestamp(until),
        until_block=until_block,
    )


def _rank_by_risk(block: Block, free: Mapping[Subject, AccountHealth]) -> Mapping[Subject, int]:
    """Rank accounts by the bad debt that they may leave, largest first."""
    return {
        subject: -risk_usd_e8(block, subject, exposure)
        for subject in free
        if (exposure := block.facts.exposures.get(subject)) is not None
    }


def _grant_subsidies(
    block: Block, free: Mapping[Subject, AccountHealth], ordered: Sequence[Subject]
) -> Mapping[Subject, int]:
    """Grant small accounts their subsidy in order, until the day's budget is reserved."""
    wanted = block.settings.subsidy
    left = subsidy_left(block.settings, block.state, block.facts.timestamp)
    granted = dict[Subject, int]()
    for subject in ordered:
        ratio = block.stated(subject[0]).usd_per_base
        if not left or ratio is None:
            continue
        if mul_div_ceil(free[subject].debt_base, ratio[0], ratio[1]) <= wanted.debt_at_most_usd_e8:
            granted[subject] = min(left, wanted.per_account_usd_e8)
            left -= granted[subject]
    return granted
