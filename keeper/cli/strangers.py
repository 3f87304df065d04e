"""Accounts in subscriptions that owe nothing anywhere: what a mistyped address looks like."""

from collections.abc import Sequence

from keeper.config import Settings
from keeper.config.subscriptions import Subscriptions, load_subscriptions
from keeper.domain.errors import ConfigError
from keeper.domain.units import Address
from keeper.ports import MarketSnapshot


def find_strangers(settings: Settings, snapshots: Sequence[MarketSnapshot]) -> list[Address]:
    """Return the subscribed accounts without debt in any of the markets, sorted."""
    subscriptions = _subscriptions(settings).subscription
    wanted = {Address(account) for one in subscriptions for account in one.accounts}
    return sorted(
        account
        for account in wanted
        if all(snapshot.account(account) is None for snapshot in snapshots)
    )


def _subscriptions(settings: Settings) -> Subscriptions:
    """Return the subscriptions; none without a file, or of a wrong one, which is said elsewhere."""
    notify = settings.notify
    if notify.subscriptions is None:
        return Subscriptions()
    try:
        return load_subscriptions(notify.subscriptions, [one.name for one in notify.channel])
    except ConfigError:
        return Subscriptions()
