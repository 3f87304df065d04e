"""File of subscriptions, reloaded when it changes."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from keeper.config.exposed import refuse_exposed
from keeper.config.problems import Problem, SettingsInvalid, validated
from keeper.config.section import Section
from keeper.config.sources import read_text, toml_tree
from keeper.config.types import AddressText, Exact, Text, refuse
from keeper.domain.errors import ConfigError
from keeper.domain.notice import NoticeKind

TIERS: Final = ("watch", "call", "urgent", "liquidatable")
"""The tiers that can be notified, mildest first."""

CALLED: Final[tuple[Literal["watch", "call", "urgent", "liquidatable"], ...]] = (
    "call",
    "urgent",
    "liquidatable",
)


class Subscription(Section):
    """Notices that some channels receive, by filters.

    ``markets`` are keys as printed by ``keeper scan``, or their prefixes (``aave_v3``). An account
    without a known dollar debt passes every ``debt_above_usd``. The keeper's own alarms go to
    subscriptions without ``accounts``, unless ``kinds`` excludes them.
    """

    channels: tuple[Text, ...] = Field(min_length=1)
    accounts: tuple[AddressText, ...] = ()
    markets: tuple[Text, ...] = ()
    tiers: tuple[Literal["watch", "call", "urgent", "liquidatable"], ...] = CALLED
    kinds: tuple[NoticeKind, ...] = tuple(NoticeKind)
    debt_above_usd: Exact = Field(default=Decimal(0), ge=0, le=10**15)

    @model_validator(mode="after")
    def _refuse_empty(self) -> Self:
        if not self.tiers or not self.kinds:
            refuse("asks for no tier or no kind, so for nothing", hint="leave the list out")
        return self


class Subscriptions(Section):
    """All subscriptions of a file."""

    subscription: tuple[Subscription, ...] = ()


def everything_to(channels: Sequence[str]) -> Subscriptions:
    """Return the default subscriptions, which send every notice to every channel."""
    if not channels:
        return Subscriptions()
    return Subscriptions(subscription=(Subscription(channels=tuple(channels)),))


def load_subscriptions(path: Path, channels: Sequence[str]) -> Subscriptions:
    """Return the subscriptions of a file.

    Raises:
        ConfigError: unreadable, not TOML, or others may read a key in it.
        SettingsInvalid: a value is wrong, or a channel does not exist.
    """
    text = read_text(
        path, what="the subscriptions file", hint="write it, or remove notify.subscriptions"
    )
    tree, origins = toml_tree(text, path.name)
    refuse_exposed(path, text, tree, origins)
    found = validated(Subscriptions, tree, where="", origins=origins)
    if not found.subscription:
        raise ConfigError(
            f"{path.name} has no [[subscription]]: nobody would be told of anything",
            hint="write one, or remove notify.subscriptions",
        )
    unknown = [
        Problem(
            setting=f"subscription[{at}].channels",
            origin=origins.get(f"subscription.{at}.channels", ""),
            reason=f"{name!r} is not a channel",
            hint=f"channels: {', '.join(channels)}",
        )
        for at, one in enumerate(found.subscription)
        for name in one.channels
        if name not in channels
    ]
    if unknown:
        raise SettingsInvalid(unknown)
    return found
