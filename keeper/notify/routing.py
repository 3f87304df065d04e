"""Routing of notices to channels by subscriptions, in the order of the file."""

from collections.abc import Sequence

from keeper.config.subscriptions import Subscription, Subscriptions
from keeper.domain.notice import Notice, NoticeKind
from keeper.domain.units import USD_E8


def channels_of(notice: Notice, subscriptions: Subscriptions) -> Sequence[str]:
    """Select the channels that receive a notice, each once."""
    found = [
        name
        for one in subscriptions.subscription
        if _asked_for(notice, one)
        for name in one.channels
    ]
    return list(dict.fromkeys(found))


def _asked_for(notice: Notice, asked: Subscription) -> bool:
    if notice.kind not in asked.kinds:
        return False
    if notice.kind is NoticeKind.ALARM:
        return not asked.accounts and _of_these_markets(notice, asked)
    return (
        notice.tier in asked.tiers
        and (not asked.accounts or notice.account in asked.accounts)
        and _of_these_markets(notice, asked)
        and _owes_enough(notice, asked)
    )


def _of_these_markets(notice: Notice, asked: Subscription) -> bool:
    market = notice.market
    if not asked.markets or market is None:
        return True
    return any(f"{market}:".startswith(f"{one}:") for one in asked.markets)


def _owes_enough(notice: Notice, asked: Subscription) -> bool:
    debt = notice.debt_usd_e8
    return debt is None or debt >= asked.debt_above_usd * USD_E8
