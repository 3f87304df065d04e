"""Rendering of notices as a message, with the event, the time left and the advice."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from keeper.domain import wording
from keeper.domain.advice import Advice, Cure
from keeper.domain.notice import CLOSING, Notice, NoticeKind
from keeper.domain.telling import Item, Message, Severity
from keeper.domain.units import WAD, Timestamp
from keeper.notify import words
from keeper.notify.advising import advice_lines, cure_text
from keeper.notify.page import page

LISTED: Final = 20
"""Maximum of accounts named in a digest. The others are counted."""

ITEMS: Final = 100
"""Maximum of notices for machines in a digest."""

KEY_DIGITS: Final = 32

LATE_SECONDS: Final = 120
"""Age of the oldest notice from which a message states its delay."""

_TIERS: Final = ("liquidatable", "urgent", "call", "watch")
_LOUD: Final = frozenset({"liquidatable", "urgent"})
_SEVERITIES: Final = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)

_STATES: Final = frozenset({NoticeKind.CALLED, NoticeKind.REMINDER, NoticeKind.ESCALATED})
"""Notices of an account's tier, superseded by later ones."""

_ENDS: Final = {NoticeKind.LIQUIDATED: "liquidated", NoticeKind.CURED: "out of every tier"}
"""Ends of episodes, for a title. The cause may be a price move instead of a cure."""

_LIQUIDATABLE: Final[dict[bool | None, str | None]] = {True: "true", False: "false", None: None}

_UNLESS: Final = "unless the protocol itself is paused or grants time"

_OPENINGS: Final = {
    NoticeKind.CALLED: "is in tier {tier}",
    NoticeKind.REMINDER: "is still in tier {tier}",
    NoticeKind.ESCALATED: "is still in tier {tier}, with no acknowledgement on record",
    NoticeKind.CURED: "has left every warning tier",
    NoticeKind.LIQUIDATED: "was liquidated",
}


def message_of(channel: str, told: Sequence[Notice], waited: int = 0) -> Message:
    """Render one notice, or several as a digest, as a message for a channel.

    ``waited`` is the age in seconds of the oldest notice in the outbox.
    """
    ordered = sorted(told, key=_sort_worst_first)
    if len(ordered) == 1:
        (only,) = ordered
        title, lines = _format_title(only), _format_lines(only)
    else:
        newest = _drop_superseded(ordered)
        title, lines = _format_digest_title(newest), _format_digest_lines(newest, len(ordered))
    if waited >= LATE_SECONDS:
        which = "that" if len(ordered) == 1 else "the oldest of these was read"
        lines.append(f"This message was made {wording.span(waited)} after {which}.")
    return Message(
        key=_compute_message_key(channel, ordered),
        severity=min((severity_of(one) for one in ordered), key=_SEVERITIES.index),
        title=title,
        text="\n".join(lines),
        html=page(lines),
        count=len(ordered),
        items=tuple(item_of(one) for one in ordered[:ITEMS]),
    )


def severity_of(notice: Notice) -> Severity:
    """Return a notice's severity."""
    if notice.kind is NoticeKind.ALARM:
        return Severity.CRITICAL
    if notice.kind is NoticeKind.CURED:
        return Severity.INFO
    if notice.kind is NoticeKind.LIQUIDATED or notice.tier == "call":
        return Severity.WARNING
    return Severity.CRITICAL if notice.tier in _LOUD else Severity.INFO


def item_of(notice: Notice) -> Item:
    """Build a notice for machines, with integers as decimal digits and units in the names."""
    numbers = {
        "episode": notice.episode,
        "health_factor_wad": notice.health_factor,
        "guarded_health_factor_wad": notice.guarded_health_factor,
        "debt_usd_e8": notice.debt_usd_e8,
        "collateral_usd_e8": notice.collateral_usd_e8,
        "deadline": notice.deadline,
        "block_number": notice.block_number,
        "timestamp": notice.timestamp,
    }
    texts = {
        "kind": str(notice.kind),
        "tier": notice.tier,
        "market": notice.market,
        "account": notice.account,
        "block_hash": notice.block_hash,
        "detail": notice.detail,
        "liquidatable": _LIQUIDATABLE[notice.liquidatable],
    }
    if notice.advice is not None:
        numbers |= {
            "target_health_factor_wad": notice.advice.target,
            "holds_until": notice.advice.holds_until,
        }
    shown = {name: None if one is None else str(one) for name, one in numbers.items()}
    cures = () if notice.advice is None else notice.advice.cures
    return Item(
        key=notice.key, fields=texts | shown, cures=tuple(_build_cure_item(one) for one in cures)
    )


def _build_cure_item(cure: Cure) -> dict[str, str]:
    """Build a cure for machines, with the exact amount and the token's address only."""
    return {
        "kind": str(cure.kind),
        "token": cure.token,
        "amount": str(cure.amount),
        "decimals": str(cure.decimals),
    }


def _compute_message_key(channel: str, told: Sequence[Notice]) -> str:
    """Return a key that is the same for the same notices to the same channel."""
    said = "\n".join([channel, *sorted(one.key for one in told)])
    return hashlib.sha256(said.encode()).hexdigest()[:KEY_DIGITS]


def _sort_worst_first(notice: Notice) -> tuple[int, int, int, str]:
    """Return a sort key that puts the worst notices first."""
    tier = _TIERS.index(notice.tier) if notice.tier in _TIERS else len(_TIERS)
    factor = notice.health_factor
    return (
        _SEVERITIES.index(severity_of(notice)),
        tier,
        factor if factor is not None else 0,
        notice.key,
    )


def _format_opening(notice: Notice) -> str:
    return _OPENINGS[notice.kind].format(tier=notice.tier)


def _format_title(notice: Notice) -> str:
    if notice.kind is NoticeKind.ALARM:
        return f"Alarm of the keeper: {words.line(notice.detail)}"
    state = "" if notice.health_factor is None else f", health {words.health(notice.health_factor)}"
    return f"{words.shortened(notice.account or '')} {_format_opening(notice)}{state}"


def _format_lines(notice: Notice) -> list[str]:
    """Format a notice as lines, with an empty line between paragraphs."""
    read = f"Read at block {notice.block_number}, {wording.moment(notice.timestamp)}."
    if notice.kind is NoticeKind.ALARM:
        where = [f"Market: {notice.market}"] if notice.market else []
        return [words.sentence(notice.detail), *where, "", read]
    lines = [f"Account {notice.account} {_format_opening(notice)}.", f"Market: {notice.market}"]
    if notice.health_factor is not None:
        steadied = _format_guarded_health(notice)
        lines.append(
            f"Health: {words.health(notice.health_factor)}{steadied}; it can be liquidated below 1."
        )
        lines.append(
            f"Debt: {words.dollars(notice.debt_usd_e8, up=True)}, against collateral of"
            f" {words.dollars(notice.collateral_usd_e8, up=False)}."
        )
    lines += [words.sentence(notice.detail)] if notice.detail else []
    left = _format_time_left(notice)
    lines += ["", left] if left else []
    if notice.advice is not None:
        lines += ["", *advice_lines(notice.advice, notice.health_factor)]
        read += _format_advice_block(notice, notice.advice)
    return [*lines, "", read]


def _format_advice_block(notice: Notice, advice: Advice) -> str:
    """Format the block of the advice, where it differs from the notice's."""
    if advice.block_number in (None, notice.block_number) or advice.timestamp is None:
        return ""
    moment = wording.moment(advice.timestamp)
    return f" Amounts and distances: at block {advice.block_number}, {moment}."


def _format_guarded_health(notice: Notice) -> str:
    """Format the health at the guard's prices, where it differs."""
    guarded = notice.guarded_health_factor
    if guarded is None or guarded == notice.health_factor:
        return ""
    return f", {words.health(guarded)} at the steadied prices"


def _format_time_left(notice: Notice) -> str:
    if notice.kind in CLOSING:
        return ""
    if notice.health_factor is None:
        return f"Time: not known; below a health of 1 anybody may liquidate it {_UNLESS}."
    until = _find_wait_end(notice)
    if until is not None:
        return f"Time: {_format_grace(notice, until)}"
    if _is_liquidatable(notice):
        return (
            "Time: none; it was past the line when this was read, and anybody may liquidate such an"
            f" account {_UNLESS}."
        )
    later = f"as soon as its health falls below 1, anybody may liquidate it {_UNLESS}."
    if notice.tier == "liquidatable":
        return f"Time: it was healthy again, short of the health that ends this tier; {later}"
    return f"Time: {later}"


def _format_grace(notice: Notice, until: Timestamp) -> str:
    """Format the keeper's wait, and its worth below and above the threshold."""
    left = wording.span(until - notice.timestamp)
    waits = (
        f"by its policy this keeper waits until {wording.moment(until)} ({left} after this was"
        " read), unless it gets much worse"
    )
    if _is_liquidatable(notice):
        return f"{waits}; others need not wait."
    return f"only below a health of 1 anybody may liquidate it; then {waits}, and others need not."


def _is_liquidatable(notice: Notice) -> bool:
    """Whether the protocol allowed a liquidation. The tier may last longer."""
    if notice.liquidatable is not None:
        return notice.liquidatable
    return notice.health_factor is not None and notice.health_factor < WAD


def _find_wait_end(notice: Notice) -> Timestamp | None:
    """Return the end of this keeper's wait, None where it no longer waits."""
    is_over = notice.deadline is None or notice.deadline <= notice.timestamp
    return None if is_over or notice.kind in CLOSING else notice.deadline


def _drop_superseded(told: Sequence[Notice]) -> list[Notice]:
    """Drop notices that a later one of the same episode supersedes.

    Closing notices, liquidations and alarms are always retained.
    """
    last = dict[tuple[str | None, str | None, int | None], Notice]()
    for one in told:
        subject = (one.market, one.account, one.episode)
        if _get_recency(one) > _get_recency(last.get(subject, one)):
            last[subject] = one
        last.setdefault(subject, one)
    return [
        one
        for one in told
        if one.kind not in _STATES or last[one.market, one.account, one.episode] is one
    ]


def _get_recency(notice: Notice) -> tuple[int, int]:
    """Return a sort key within an episode, by block and then by severity."""
    tier = _TIERS.index(notice.tier) if notice.tier in _TIERS else len(_TIERS)
    return (notice.block_number, -tier)


def _format_digest_title(told: Sequence[Notice]) -> str:
    alarms = sum(one.kind is NoticeKind.ALARM for one in told)
    accounts = len({(one.market, one.account) for one in told if one.account is not None})
    parts = [f"{alarms:,} {wording.plural('alarm', alarms)}"] if alarms else []
    parts += [f"{accounts:,} {wording.plural('account', accounts)}"] if accounts else []
    open_ = Counter(one.tier for one in told if one.kind in _STATES)
    parts += [f"{open_[tier]:,} {tier}" for tier in _TIERS if open_[tier]]
    for kind, said in _ENDS.items():
        count = sum(one.kind is kind for one in told)
        parts += [f"{count:,} {said}"] if count else []
    return f"Margin calls: {', '.join(parts)}"


def _format_digest_lines(told: Sequence[Notice], notices: int) -> list[str]:
    """Format a digest's lines. ``notices`` also counts the superseded ones."""
    lines = [f"{notices:,} notices in one message, the worst first.", ""]
    lines += [f"- {_format_digest_line(one)}" for one in told[:LISTED]]
    if len(told) > LISTED:
        lines += ["", f"And {len(told) - LISTED:,} more: `keeper calls` lists every open call."]
    newest = max(told, key=lambda one: one.block_number)
    return [*lines, "", f"Up to block {newest.block_number}, {wording.moment(newest.timestamp)}."]


def _format_digest_line(notice: Notice) -> str:
    if notice.kind is NoticeKind.ALARM:
        where = f", in {words.market(notice.market)}" if notice.market else ""
        return f"Alarm: {words.line(notice.detail)}{where}"
    factor = notice.health_factor
    none = ", health not known" if notice.kind in _STATES else ""
    state = none if factor is None else f", health {words.health(factor)}"
    owed = "" if factor is None else f", debt {words.dollars(notice.debt_usd_e8, up=True)}"
    return (
        f"{notice.account} {_format_opening(notice)}{state}{owed},"
        f" in {words.market(notice.market or '')}"
        f"{_format_digest_wait(notice)}{_format_best_cure(notice)}"
    )


def _format_digest_wait(notice: Notice) -> str:
    """Format the end of this keeper's wait for a digest, empty without a wait."""
    until = _find_wait_end(notice)
    return "" if until is None else f"; this keeper waits until {wording.moment(until)}"


def _format_best_cure(notice: Notice) -> str:
    if notice.advice is None or not notice.advice.cures:
        return ""
    target, until = wording.health(notice.advice.target), wording.moment(notice.advice.holds_until)
    return (
        f"; for a health of {target} at {until} if prices and rates stay:"
        f" {cure_text(notice.advice.cures[0])}"
    )
