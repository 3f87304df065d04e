"""Settings that match nothing on the chain, such as mistyped names."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keeper.abilities import StatesReadings
from keeper.config import Settings, nearest
from keeper.config.curing import CureAccount
from keeper.config.subscriptions import Subscriptions, load_subscriptions
from keeper.domain.errors import ConfigError
from keeper.domain.units import Address
from keeper.ports import MarketSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A setting that matches nothing. ``is_void`` means that it has no effect at all."""

    what: str
    detail: str
    fix: str
    is_void: bool = False


def find_strangers(settings: Settings, snapshots: Sequence[MarketSnapshot]) -> list[Stranger]:
    """Find accounts without debt, markets and tokens in the settings that no market has."""
    found = [*_check_subscribed(settings, snapshots), *_check_cured(settings, snapshots)]
    return [*found, *_check_tokens(settings, snapshots), *_check_feeds(settings, snapshots)]


def _check_subscribed(
    settings: Settings, snapshots: Sequence[MarketSnapshot]
) -> Iterator[Stranger]:
    subscriptions = _load_current(settings).subscription
    wanted = {Address(account) for one in subscriptions for account in one.accounts}
    for account in sorted(wanted):
        if all(snapshot.account(account) is None for snapshot in snapshots):
            yield Stranger(
                what="notifications",
                detail=f"{account} is subscribed to, and owes nothing in any market",
                fix="is it mistyped? nobody is told of it until it borrows",
            )


def _check_cured(settings: Settings, snapshots: Sequence[MarketSnapshot]) -> Iterator[Stranger]:
    """Yield accounts on the cure list without a market, or without debt in theirs."""
    for at, one in enumerate(settings.cure.account):
        setting = f"cure.account[{at}]"
        of_it = [each for each in snapshots if one.market in (None, str(each.market))]
        if one.market is not None and not of_it:
            yield _build_missing_market(setting, one.market, snapshots)
        elif all(snapshot.account(Address(one.account)) is None for snapshot in of_it):
            yield Stranger(
                what=setting,
                detail=f"{one.account} is to be cured, and owes nothing in {_format_market(one)}",
                fix="is it mistyped? nothing is done for it until it borrows",
            )


def _format_market(listed: CureAccount) -> str:
    return "any market" if listed.market is None else listed.market


def _build_missing_market(
    setting: str, market: str, snapshots: Sequence[MarketSnapshot]
) -> Stranger:
    there = sorted(str(one.market) for one in snapshots)
    near = nearest(market, there)
    return Stranger(
        what=f"{setting}.market",
        detail=f"no market is {market}: the account is never cured",
        fix=f"did you mean {near}?" if near else f"there: {', '.join(there[:3])}",
        is_void=True,
    )


def _check_tokens(settings: Settings, snapshots: Sequence[MarketSnapshot]) -> Iterator[Stranger]:
    """Yield limits and second sources of tokens without a price in any market."""
    known = {token for snapshot in snapshots for token in snapshot.prices}
    named = [(f"cure.limit[{at}]", one.token) for at, one in enumerate(settings.cure.limit)]
    named += [(f"oracle.second[{at}]", one.token) for at, one in enumerate(settings.oracle.second)]
    for setting, token in named:
        if Address(token) not in known:
            yield Stranger(
                what=setting,
                detail=f"no market has a price of {token}",
                fix="is it mistyped? as long as there is none, the section does nothing",
            )


def _check_feeds(settings: Settings, snapshots: Sequence[MarketSnapshot]) -> Iterator[Stranger]:
    """Yield configured feeds that no price uses."""
    stating = [one for one in snapshots if isinstance(one, StatesReadings)]
    known = {reading.feed for snapshot in stating for reading in snapshot.readings()}
    for at, one in enumerate(settings.oracle.feed):
        if stating and Address(one.address) not in known:
            yield Stranger(
                what=f"oracle.feed[{at}]",
                detail=f"no market's price rests on {one.address}",
                fix="is it mistyped? its heartbeat holds for nothing",
            )


def _load_current(settings: Settings) -> Subscriptions:
    """Load the subscriptions. Empty without a file, or with a faulty one reported elsewhere."""
    notify = settings.notify
    if notify.subscriptions is None:
        return Subscriptions()
    try:
        return load_subscriptions(notify.subscriptions, [one.name for one in notify.channel])
    except ConfigError:
        return Subscriptions()
