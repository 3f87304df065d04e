"""Margin-call notices with stable keys and a one-line detail."""

from keeper.domain.account import AccountHealth
from keeper.domain.notice import CLOSING, Notice, NoticeKind
from keeper.domain.parity import Subject
from keeper.domain.units import Timestamp
from keeper.margin.guard import Block
from keeper.margin.settings import NO_WAIT
from keeper.margin.standing import is_below
from keeper.margin.state import Alarm, Standing
from keeper.risk.tiers import Tier

FIRST_LOOK = "first look"
"""Prefix of the detail of a notice about a state that existed when the keeper started."""


def about_account(
    block: Block,
    subject: Subject,
    standing: Standing,
    health: AccountHealth | None,
    kind: NoticeKind,
    *,
    tier: Tier,
    turn: int = 0,
    detail: str,
    first: bool = False,
) -> Notice:
    """Build a notice about an account's episode. ``turn`` counts reminders.

    With ``first``, the tier was already entered when the keeper started. For an account that cannot
    be valued the notice says so and holds no figures.
    """
    unknown = "" if health is None else health.unpriced
    if unknown:
        health, said = None, f"its health is not known: {unknown}"
        detail = f"{detail}; {said}" if detail else said
    market, account = subject
    news = "closed" if kind in CLOSING else f"{kind}/{tier}"
    name = f"{block.settings.chain_id}/{market}/{account}/{standing.episode}/{news}"
    if first:
        detail = f"{FIRST_LOOK}: {detail or 'already in this tier when the keeper started'}"
    return Notice(
        key=f"{name}/{turn}" if turn else name,
        kind=kind,
        tier=str(tier),
        block_number=block.facts.number,
        block_hash=block.facts.hash,
        timestamp=block.facts.timestamp,
        market=market,
        account=account,
        episode=standing.episode,
        health_factor=None if health is None else health.health_factor,
        guarded_health_factor=None if unknown else block.guarded(subject),
        debt_usd_e8=_convert_to_usd_e8(
            block, subject, None if health is None else health.debt_base
        ),
        collateral_usd_e8=_convert_to_usd_e8(
            block, subject, None if health is None else health.collateral_base
        ),
        deadline=(
            None
            if unknown or is_past_waiting(block, subject, health)
            else deadline(block, standing)
        ),
        detail=detail,
        liquidatable=None if health is None else health.liquidatable,
    )


def about_trouble(block: Block, name: str, alarm: Alarm) -> Notice:
    """Build the notice that an alarm began or ended."""
    first = f"{FIRST_LOOK}: " if block.state.is_new else ""
    ended = "/over" if alarm.ended else ""
    return Notice(
        key=f"{block.settings.chain_id}/alarm/{name}/{alarm.number}{ended}",
        kind=NoticeKind.ALARM,
        tier="",
        block_number=block.facts.number,
        block_hash=block.facts.hash,
        timestamp=block.facts.timestamp,
        market=alarm.market,
        detail=f"well again; told before: {alarm.detail}" if alarm.ended else first + alarm.detail,
    )


def is_past_waiting(block: Block, subject: Subject, health: AccountHealth | None) -> bool:
    """Whether an account is below the floor, where no grace applies."""
    exposure = block.facts.exposures.get(subject)
    return health is not None and is_below(block.settings.floor, health, exposure)


def deadline(block: Block, standing: Standing) -> Timestamp | None:
    """Return the chain time at which the policy's grace ends, None without grace."""
    ends = [
        standing.entered[tier].timestamp + span.seconds
        for tier, span in block.settings.grace.items()
        if tier in standing.entered and span != NO_WAIT
    ]
    return Timestamp(max(ends)) if ends else None


def _convert_to_usd_e8(block: Block, subject: Subject, base: int | None) -> int | None:
    ratio = block.stated(subject[0]).usd_per_base
    return None if ratio is None or base is None else base * ratio[0] // ratio[1]
