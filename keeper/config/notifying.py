"""Settings of notifications, with their channels and rates."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from keeper.config.section import Section
from keeper.config.types import FilePath, SecretText, Text, Whole, refuse

DAY_HOURS = 24
WEEK_HOURS = 7 * DAY_HOURS
HOUR_SECONDS = 3_600


class Channel(Section):
    """One notification channel.

    ``url`` is secret, since it contains tokens and passwords. ``secret`` signs a webhook's
    messages.
    """

    name: Text
    kind: Literal["apprise", "webhook", "alertmanager"]
    url: SecretText = Field(repr=False)
    secret: SecretText | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.kind == "webhook" and self.secret is None:
            refuse(
                f"the webhook {self.name!r} has no secret to sign with",
                hint="set a long random one, and check the signature where it arrives",
            )
        if self.kind != "webhook" and self.secret is not None:
            refuse(f"{self.name!r} has a secret, but only a webhook is signed", hint="remove it")
        web = self.url.get_secret_value().startswith(("http://", "https://"))
        if self.kind != "apprise" and not web:
            refuse(f"the url of {self.name!r} is neither http nor https")
        return self


Seconds = Annotated[Whole, Field(ge=1, le=HOUR_SECONDS)]


class Notify(Section):
    """Channels, with the grouping and the rate of their messages.

    Notices within ``group_seconds`` are grouped. More than ``digest_above`` at once become one
    message, as do those beyond ``max_per_minute`` messages of a channel.
    """

    channel: tuple[Channel, ...] = ()
    subscriptions: FilePath | None = None
    group_seconds: Whole = Field(default=3, ge=0, le=HOUR_SECONDS)
    digest_above: Whole = Field(default=4, ge=1, le=1_000)
    max_per_minute: Whole = Field(default=10, ge=1, le=1_000)
    timeout_seconds: Seconds = 15
    first_retry_seconds: Seconds = 5
    longest_retry_seconds: Seconds = 900
    give_up_after_hours: Whole = Field(default=DAY_HOURS, ge=1, le=WEEK_HOURS)
    alarm_after_failures: Whole = Field(default=3, ge=1, le=1_000)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        names = [one.name for one in self.channel]
        if len(set(names)) < len(names):
            refuse(
                "two channels have the same name", hint="give each [[notify.channel]] its own name"
            )
        if self.first_retry_seconds > self.longest_retry_seconds:
            refuse("first_retry_seconds is more than longest_retry_seconds")
        if self.subscriptions is not None and not self.channel:
            refuse("there are subscriptions, but no channel", hint="add a [[notify.channel]]")
        return self
