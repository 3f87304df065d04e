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
        if _is_subscribed(notice, one)
        for name in one.channels
    ]
    return list(dict.fromkeys(found))


def _is_subscribed(notice: Notice, asked: Subscription) -> bool:
    if notice.kind not in asked.kinds:
        return False
    if notice.kind is NoticeKind.ALARM:
        return not asked.accounts and _is_market_included(notice, asked)
    return (
        notice.tier in asked.tiers
        and (not asked.accounts or notice.account in asked.accounts)
        and _is_market_included(notice, asked)
        and _is_debt_included(notice, asked)
    )


def _is_market_included(notice: Notice, asked: Subscription) -> bool:
    market = notice.market
    if not asked.markets or market is None:
        return True
    return any(f"{market}:".startswith(f"{one}:") for one in asked.markets)


def _is_debt_included(notice: Notice, asked: Subscription) -> bool:
    debt = notice.debt_usd_e8
    return debt is None or debt >= asked.debt_above_usd * USD_E8
