"""Figures of a backtested policy, with its calls, liquidations and losses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keeper.domain.notice import NoticeKind
from keeper.domain.telling import Waiting
from keeper.domain.units import Address, Timestamp
from keeper.notify.pace import Pace
from keeper.protocols.aave_v3.position import Clock
from keeper.protocols.aave_v3.rules import LIQUIDATION_THRESHOLD
from keeper.rehearse.prices import PricePath
from keeper.rehearse.run import Taken, Told
from keeper.rehearse.world import World

HOUR: Final = 3_600
LOOK_SECONDS: Final = 1_800
"""Interval of evaluations within the recovery window."""
CALLED: Final = frozenset({"call", "urgent", "liquidatable"})
"""The tiers notified by default."""

ONE_CHANNEL: Final = Pace(
    group_seconds=0,
    digest_above=4,
    max_per_minute=10,
    timeout_seconds=15,
    first_retry_seconds=5,
    longest_retry_seconds=900,
    give_up_seconds=24 * HOUR,
    alarm_after_failures=3,
)
"""A channel with default settings that never fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Figures of one policy. Dollars in 1e-8, times in seconds.

    ``notice_median`` and ``notice_tenth`` measure the time from an account's first call to its
    first liquidation, 0 without a call. ``unnecessary`` counts liquidations of accounts that would
    have recovered within the recovery window at the recorded prices without any action.
    ``bad_debt`` is the debt written off plus the debt without collateral at the end.
    """

    policy: str
    called: int
    notices: int
    messages: int
    liquidations: int
    liquidated: int
    unnecessary: int
    notice_median: int | None
    notice_tenth: int | None
    bad_debt_usd_e8: int
    profit_usd_e8: int
    waits: int
    blocks: int


def outcome(
    policy: str, told: Told, world: World, path: PricePath, recovery_seconds: int
) -> Outcome:
    """Compute the figures of a finished run."""
    calls, liquidations = _index_first_calls(told), _index_first_liquidations(told.taken)
    notice = sorted(
        max(0, when - calls[account]) if account in calls else 0
        for account, when in liquidations.items()
    )
    return Outcome(
        policy=policy,
        called=len(calls),
        notices=sum(_is_counted(one.kind, one.tier) for _, some in told.notices for one in some),
        messages=_count_messages(told),
        liquidations=len(told.taken),
        liquidated=len(liquidations),
        unnecessary=len(unnecessary(told.taken, world, path, recovery_seconds)),
        notice_median=_select_quantile(notice, 1, 2),
        notice_tenth=_select_quantile(notice, 1, 10),
        bad_debt_usd_e8=sum(one.bad_debt_usd_e8 for one in told.taken) + _sum_final_bad_debt(world),
        profit_usd_e8=sum(one.profit_usd_e8 for one in told.taken),
        waits=told.waits,
        blocks=told.blocks,
    )


def unnecessary(
    taken: Sequence[Taken], world: World, path: PricePath, recovery_seconds: int
) -> list[Taken]:
    """Select the liquidations of accounts that would have recovered by themselves."""
    clocks = dict[int, Clock]()
    return [one for one in taken if _can_recover(one, world, path, recovery_seconds, clocks)]


def _can_recover(
    one: Taken, world: World, path: PricePath, recovery_seconds: int, clocks: dict[int, Clock]
) -> bool:
    """Whether the account becomes healthy at the recorded prices before the window ends."""
    start = one.moment.timestamp
    first = start - start % LOOK_SECONDS
    for when in (start, *range(first + LOOK_SECONDS, start + recovery_seconds + 1, LOOK_SECONDS)):
        if when > path.times[-1]:
            return False
        clock = clocks.get(when)
        if clock is None:
            clock = clocks[when] = world.clock(path.at(when), Timestamp(when))
        if clock.position(one.before).data.health_factor >= LIQUIDATION_THRESHOLD:
            return True
    return False


def _index_first_calls(told: Told) -> Mapping[Address, int]:
    found = dict[Address, int]()
    for moment, notices in told.notices:
        for one in notices:
            if one.kind is NoticeKind.CALLED and one.tier in CALLED and one.account is not None:
                found.setdefault(one.account, moment.timestamp)
    return found


def _index_first_liquidations(taken: Sequence[Taken]) -> Mapping[Address, int]:
    found = dict[Address, int]()
    for one in taken:
        found.setdefault(one.account, one.moment.timestamp)
    return found


def _is_counted(kind: NoticeKind, tier: str) -> bool:
    return tier in CALLED and kind is not NoticeKind.ALARM


def _count_messages(told: Told) -> int:
    """Count the messages that one channel would get, grouped as the dispatcher groups them."""
    total = 0
    for moment, notices in told.notices:
        waiting = [
            Waiting(delivery=at, notice=one, since=moment.timestamp)
            for at, one in enumerate(notices)
            if _is_counted(one.kind, one.tier)
        ]
        total += len(ONE_CHANNEL.groups(waiting, ONE_CHANNEL.max_per_minute))
    return total


def _sum_final_bad_debt(world: World) -> int:
    """Return the debt without collateral at the end."""
    return sum(
        max(0, one.debt_base - one.collateral_base) for one in world.book.snapshot.accounts()
    )


def _select_quantile(ordered: Sequence[int], numerator: int, denominator: int) -> int | None:
    """Return the quantile of sorted values, None of an empty list."""
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, len(ordered) * numerator // denominator)]
