"""Channels, subscriptions, and what is refused of them."""

import pytest

from keeper.config import SettingsInvalid
from keeper.config.subscriptions import load_subscriptions
from keeper.domain.errors import ConfigError
from tests.unit.config.conftest import MINIMAL

CHANNEL = """
[[notify.channel]]
name = "ops"
kind = "webhook"
url = "https://example.org/hook/T0KEN"
secret = "s3cret"
"""


def test_a_channel_shows_neither_its_address_nor_its_secret(loaded):
    """Both let somebody else speak in the keeper's name."""
    (channel,) = loaded(MINIMAL + CHANNEL).settings.notify.channel

    assert "T0KEN" not in repr(channel)
    assert "s3cret" not in repr(channel)


def test_a_channels_address_may_come_from_the_environment(loaded):
    """Where the file is shared."""
    text = MINIMAL + '[[notify.channel]]\nname = "mail"\nkind = "apprise"\n'
    environ = {"KEEPER_NOTIFY__CHANNEL__0__URL": "mailto://u:p@example.org"}

    (channel,) = loaded(text, environ=environ).settings.notify.channel

    assert channel.url.get_secret_value() == "mailto://u:p@example.org"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (CHANNEL.replace('secret = "s3cret"', ""), "has no secret to sign with"),
        (CHANNEL.replace("webhook", "alertmanager"), "only a webhook is signed"),
        (CHANNEL.replace("https", "ftp"), "is neither http nor https"),
        (CHANNEL.replace("webhook", "pigeon"), "is 'pigeon'"),
        (CHANNEL + CHANNEL, "two channels have the same name"),
        ('[notify]\nsubscriptions = "s.toml"\n', "there are subscriptions, but no channel"),
        ("[notify]\nfirst_retry_seconds = 901\n", "is more than longest_retry_seconds"),
        ("[notify]\ngroup_second = 1\n", "is not a setting"),
    ],
)
def test_what_is_wrong_with_channels_is_told(loaded, text, reason):
    """In one line, without the address."""
    with pytest.raises(SettingsInvalid) as caught:
        loaded(MINIMAL + text)

    told = "\n".join(map(str, caught.value.problems))
    assert reason in told
    assert "T0KEN" not in told


@pytest.fixture
def subscribed(tmp_path):
    def run(text):
        path = tmp_path / "subscriptions.toml"
        path.write_text(text)
        return load_subscriptions(path, ["ops", "mail"])

    return run


def test_a_subscription_needs_a_channel_and_nothing_else(subscribed):
    """What is left out is not asked for."""
    (one,) = subscribed('[[subscription]]\nchannels = ["ops"]\n').subscription

    assert one.tiers == ("call", "urgent", "liquidatable")
    assert one.accounts == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('channels = ["oops"]', "'oops' is not a channel (subscriptions.toml:2)"),
        ("channels = []", "channels"),
        ('channels = ["ops"]\ntiers = ["calls"]', "is 'calls'"),
        ('channels = ["ops"]\naccounts = ["0x12"]', "is not an address"),
        ('channels = ["ops"]\nkinds = []', "asks for no tier or no kind"),
        ('channels = ["ops"]\ndebt_above_usd = "-1"', "-1"),
        ('channels = ["ops"]\naccount = []', "is not a setting"),
    ],
)
def test_what_is_wrong_with_a_subscription_is_told_with_its_line(subscribed, text, reason):
    """The file is written by people, often in a hurry."""
    with pytest.raises(SettingsInvalid) as caught:
        subscribed(f"[[subscription]]\n{text}\n")

    assert reason in "\n".join(map(str, caught.value.problems))


def test_a_subscriptions_file_that_is_not_there_is_refused(tmp_path):
    """A start that told nobody would be found out too late."""
    with pytest.raises(ConfigError, match="does not exist"):
        load_subscriptions(tmp_path / "none.toml", [])
