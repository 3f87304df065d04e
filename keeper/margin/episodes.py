"""State transitions of margin calls from block to block, with the notices that they cause."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from keeper.domain.account import AccountHealth
from keeper.domain.notice import Notice, NoticeKind
from keeper.domain.parity import Subject
from keeper.domain.wording import span
from keeper.margin.alarms import alarmed
from keeper.margin.facts import BlockFacts
from keeper.margin.guard import Block
from keeper.margin.notices import about_account, is_past_waiting
from keeper.margin.settings import DAY, NO_WAIT, SEVERITY, MarginSettings, Measure
from keeper.margin.standing import NOBODY, is_bare, rewound, stood
from keeper.margin.state import Ahead, MarginState, Mark, Standing, among
from keeper.margin.tiers import breached
from keeper.margin.words import blocks
from keeper.risk.tiers import Tier

Kept = TypeVar("Kept")

OWES_NOTHING: Final = "it owes nothing in this market any more"
BARE: Final = "nothing backs its debt any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of one account's state. ``after`` is None where the account is no longer stored."""

    subject: Subject
    before: Standing
    after: Standing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """The result of advancing the margin state by one block.

    ``questions`` maps accounts that improved to the first block to search for their liquidation.
    The answer is added to the facts, and the block is advanced again.
    """

    state: MarginState
    notices: tuple[Notice, ...] = ()
    changes: tuple[Change, ...] = ()
    questions: Mapping[Subject, int] | None = None


def advanced(settings: MarginSettings, state: MarginState, facts: BlockFacts) -> Advanced:
    """Advance the margin state by a block, and collect the notices that it causes.

    The same block again changes nothing and emits no notices.
    """
    block = Block(settings, state, facts)
    if block.is_known:
        return Advanced(state=state)
    found = _advance_accounts(block, _list_concerned(block))
    alarms, alarm_notices = alarmed(block)
    after_all = replace(
        found.state,
        number=facts.number,
        hash=facts.hash,
        timestamp=facts.timestamp,
        prices=block.prices,
        alarms=alarms,
        reservations=tuple(
            one for one in state.reservations if facts.timestamp - one.timestamp < DAY
        ),
        ahead=None,
        first=facts.number if state.is_new else state.first,
    )
    return replace(found, state=after_all, notices=(*alarm_notices, *found.notices))


def ahead_of(
    settings: MarginSettings, state: MarginState, facts: BlockFacts, subjects: Collection[Subject]
) -> Advanced:
    """Advance the state for a subset of accounts.

    Advancing by the same block later adds the other accounts. The result is the same as in one
    step.
    """
    block = Block(settings, state, facts)
    found = _advance_accounts(block, _list_concerned(block, subjects))
    if not found.changes:
        return replace(found, state=state)
    before = state.ahead
    known = before.subjects if before is not None and before.hash == facts.hash else frozenset()
    moved = known | {one.subject for one in found.changes}
    kept = Ahead(number=facts.number, hash=facts.hash, subjects=moved)
    return replace(found, state=replace(found.state, ahead=kept))


def _advance_accounts(
    block: Block, concerned: Iterable[tuple[Subject, Standing, AccountHealth | None]]
) -> Advanced:
    """Advance the states of the given accounts by a block."""
    state, facts = block.state, block.facts
    standings, numbers = dict(state.standings), dict(state.numbers)
    notices, changes = list[Notice](), list[Change]()
    questions = dict[Subject, int]()
    for subject, before, health in concerned:
        if block.knows(subject) or block.is_at_rest(before, health):
            continue
        after = stood(block, subject, before, health)
        since = _find_search_start(block, before, after)
        if since is not None:
            questions[subject] = since
            if facts.unanswered:
                after = rewound(block, before)
        if after.tier is not Tier.HEALTHY and not after.episode:
            numbers[subject] = numbers.get(subject, 0) + 1
            after = replace(after, episode=numbers[subject], opened=block.mark)
        told, after = _emit_account_notices(block, subject, before, after, health)
        notices += told
        kept = None if _is_forgotten(block, after) else after
        if kept == before or (kept is None and before == NOBODY):
            continue
        changes.append(Change(subject=subject, before=before, after=kept))
        if kept is None:
            standings.pop(subject, None)
        else:
            standings[subject] = kept
    return Advanced(
        state=replace(state, standings=standings, numbers=numbers),
        notices=tuple(notices),
        changes=tuple(changes),
        questions=questions,
    )


def answered(
    settings: MarginSettings, state: MarginState, facts: BlockFacts, found: Advanced
) -> Advanced:
    """Advance the accounts in question again, now that the facts contain their liquidations.

    Accounts that are not in question keep theirs.
    """
    asked = found.questions or {}
    accounts = among(asked, facts.accounts)
    again = advanced(settings, state.of(asked), replace(facts, accounts=accounts))
    kept = [one for one in found.notices if (one.market, one.account) not in asked]
    news = [one for one in again.notices if one.account is not None]
    changes = [one for one in found.changes if one.subject not in asked]
    return Advanced(
        state=replace(
            found.state,
            standings=_replace_subset(found.state.standings, asked, again.state.standings),
            numbers=_replace_subset(found.state.numbers, asked, again.state.numbers),
        ),
        notices=tuple(sorted([*kept, *news], key=_sort_key)),
        changes=tuple(sorted([*changes, *again.changes], key=lambda one: one.subject)),
        questions=again.questions,
    )


def _replace_subset(
    known: Mapping[Subject, Kept], some: Iterable[Subject], anew: Mapping[Subject, Kept]
) -> Mapping[Subject, Kept]:
    """Return a copy of ``known`` in which the entries of some accounts are replaced."""
    found = dict(known)
    for one in some:
        found.pop(one, None)
    return found | dict(anew)


def _sort_key(notice: Notice) -> tuple[str, str]:
    """Return a notice's sort key. Alarms come first, then accounts in order."""
    return (notice.market or "", notice.account) if notice.account is not None else ("", "")


def acknowledged(state: MarginState, subject: Subject, mark: Mark) -> MarginState:
    """Return the state with an account's margin calls acknowledged."""
    standing = replace(state.standings[subject], acknowledged=mark)
    return replace(state, standings={**state.standings, subject: standing})


def wanting(
    settings: MarginSettings,
    state: MarginState,
    facts: BlockFacts,
    among: Collection[Subject] | None = None,
) -> list[Subject]:
    """Select the accounts that need their exposure (legs) read at a block.

    These are the liquidatable ones, and those that may change tiers where the guard, the volatility
    measure or a suspect price needs their legs. For all others the health factor suffices.
    """
    block = Block(settings, state, facts)
    everyone = settings.tiers.measure is Measure.VOLATILITY
    closely = everyone or bool(settings.guard.confirm) or block.has_doubts
    found = list[Subject]()
    for subject, before, health in _list_concerned(block, among):
        if health is None or health.unpriced or block.is_at_rest(before, health):
            continue
        restless = closely and (everyone or _is_restless(block, before, health))
        if health.liquidatable or restless:
            found.append(subject)
    return found


def _is_restless(block: Block, before: Standing, health: AccountHealth) -> bool:
    """Whether an account's tier may change at its current health."""
    if before.breaches or before.out is not None:
        return True
    tiers, factor = block.settings.tiers, health.health_factor
    below = breached(tiers, factor, liquidatable=health.liquidatable)
    worst = next(iter(below), Tier.HEALTHY)
    if SEVERITY[worst] > SEVERITY[before.tier]:
        return True
    return before.tier is not Tier.HEALTHY and factor >= tiers.band(before.tier).leave


def _list_concerned(
    block: Block, wanted: Collection[Subject] | None = None
) -> Iterator[tuple[Subject, Standing, AccountHealth | None]]:
    """Yield the accounts in or near a tier, optionally from a selection, in a stable order."""
    facts, standings = block.facts, block.state.standings
    everyone = facts.accounts.keys() | standings.keys()
    for subject in sorted(everyone if wanted is None else everyone.intersection(wanted)):
        if subject[0] in facts.markets:
            yield subject, standings.get(subject, NOBODY), facts.accounts.get(subject)


def _find_search_start(block: Block, before: Standing, after: Standing) -> int | None:
    """Return the first block to search for a liquidation, None where no search is needed."""
    left_the_line = before.tier is Tier.LIQUIDATABLE and after.tier is not Tier.LIQUIDATABLE
    got_out = before.tier is not Tier.HEALTHY and after.tier is Tier.HEALTHY
    if before.liquidated or not (left_the_line or got_out):
        return None
    past, seen = before.entered.get(Tier.LIQUIDATABLE), block.last_seen
    return min(seen, past.number if past else seen)


def _is_initial_tier(block: Block, before: Standing, after: Standing) -> bool:
    """Whether the account was in its tier at the keeper's first block, confirmed or not."""
    breach = before.breaches.get(after.tier)
    return block.state.is_new or (breach is not None and breach.since.number == block.state.first)


def _emit_account_notices(
    block: Block,
    subject: Subject,
    before: Standing,
    after: Standing,
    health: AccountHealth | None,
) -> tuple[list[Notice], Standing]:
    """Return one account's notices, and its state with them noted."""
    if not after.episode:
        return [], after
    if not after.liquidated and subject in block.facts.liquidated:
        after = replace(after, liquidated=True)
        return [_build_closing_notice(block, subject, after, health, NoticeKind.LIQUIDATED)], after
    if _is_closing(block, after):
        cured = (
            []
            if after.liquidated
            else [_build_closing_notice(block, subject, after, health, NoticeKind.CURED)]
        )
        return cured, after
    if after.tier not in after.told and SEVERITY[after.tier] > SEVERITY[after.worst_told]:
        after = replace(after, told=after.told | {after.tier}, acknowledged=None)
        notice = about_account(
            block,
            subject,
            after,
            health,
            NoticeKind.CALLED,
            tier=after.tier,
            detail=_describe_grace(block, subject, after, health),
            first=_is_initial_tier(block, before, after),
        )
        return [notice], after
    return _repeat_notices(block, subject, after, health)


def _repeat_notices(
    block: Block, subject: Subject, standing: Standing, health: AccountHealth | None
) -> tuple[list[Notice], Standing]:
    """Return the escalation or reminder that is due without an acknowledgement.

    An account without debt gets neither. It stays in its tier only until it is known whether it was
    liquidated.
    """
    tier, telling = standing.tier, block.settings.telling
    since = standing.entered.get(tier)
    if health is None or standing.acknowledged is not None or since is None:
        return [], standing
    waited = _compute_seconds_in_tier(block, since)
    escalate = telling.escalate_seconds.get(tier, 0)
    if escalate and waited >= escalate and tier not in standing.escalated:
        standing = replace(standing, escalated=standing.escalated | {tier})
        detail = f"still in {tier} after {span(waited)}, with no acknowledgement on record"
        return [
            about_account(
                block, subject, standing, health, NoticeKind.ESCALATED, tier=tier, detail=detail
            )
        ], standing
    remind = telling.remind_seconds.get(tier, 0)
    turn = waited // remind if remind else 0
    if turn <= standing.reminded.get(tier, 0):
        return [], standing
    standing = replace(standing, reminded={**standing.reminded, tier: turn})
    return [
        about_account(
            block,
            subject,
            standing,
            health,
            NoticeKind.REMINDER,
            tier=tier,
            turn=turn,
            detail=f"still in {tier} after {span(waited)}",
        )
    ], standing


def _compute_seconds_in_tier(block: Block, since: Mark) -> int:
    """Return the seconds spent in a tier, by the slower clock."""
    chain, wall = block.facts.timestamp - since.timestamp, block.facts.wall - since.wall
    return max(0, min(chain, wall) if block.settings.both_clocks else chain)


def _describe_grace(
    block: Block, subject: Subject, standing: Standing, health: AccountHealth | None
) -> str:
    """Describe the grace that the policy grants in a tier. Empty where it grants none."""
    granted = block.settings.grace.get(standing.tier, NO_WAIT)
    if granted == NO_WAIT:
        return ""
    if is_past_waiting(block, subject, health):
        return "below the floor of its policy this keeper does not wait"
    return f"by its policy this keeper grants {blocks(granted.blocks)} and {granted.seconds} s"


def _build_closing_notice(
    block: Block,
    subject: Subject,
    standing: Standing,
    health: AccountHealth | None,
    kind: NoticeKind,
) -> Notice:
    bare = BARE if is_bare(block.facts.exposures.get(subject)) else ""
    detail = OWES_NOTHING if health is None else bare
    return about_account(
        block, subject, standing, health, kind, tier=standing.worst_told, detail=detail
    )


def _is_closing(block: Block, standing: Standing) -> bool:
    out = standing.out
    return out is not None and out.count >= block.settings.tiers.closing_after_blocks


def _is_forgotten(block: Block, standing: Standing) -> bool:
    """Whether an account's state need not be stored."""
    if standing.episode:
        return _is_closing(block, standing)
    return standing.tier is Tier.HEALTHY and not standing.breaches
