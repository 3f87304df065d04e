"""Channel URLs that Apprise does not take: which part is wrong, and nothing of what is secret."""

import pytest

from keeper.domain.errors import ConfigError
from keeper.notify.channels.apprise import AppriseChannel
from keeper.observe.redaction import one_line

SECRET = "S3CRET-t0ken"


@pytest.mark.parametrize(
    ("url", "what", "hint"),
    [
        (f"user:{SECRET}@host", "does not begin with a service's scheme", "mailto, tgram"),
        (f"tgarm://{SECRET}/2", "no service with the scheme tgarm", "did you mean tgram?"),
        (f"zzzzqq://{SECRET}", "no service with the scheme zzzzqq", "mailto, tgram"),
        ("tgram://", "a part of its tgram url is missing", "{bot_token}/{targets}"),
        (f"tgram://{SECRET}/12", "the bot_token of its tgram url", "{bot_token}"),
        (f"mailto://user:{SECRET}@", "a part of its mailto url is missing", "{host}"),
        (f"discord://{SECRET}", "a part of its discord url", "{webhook_id}/{webhook_token}"),
        (f"pagerduty://{SECRET}", "a part of its pagerduty url", "{integrationkey}@{apikey}"),
    ],
)
def test_the_part_that_is_wrong_is_named_and_no_secret(url, what, hint):
    """One message for every mistake leaves people guessing over a token of forty letters."""
    with pytest.raises(ConfigError) as caught:
        AppriseChannel(url)

    assert what in str(caught.value)
    assert hint in caught.value.hint
    for text in (str(caught.value), caught.value.hint):
        assert SECRET not in text
        assert one_line(text) == text, "what is printed passes through this"


def test_a_url_that_apprise_takes_is_no_error():
    """The check is Apprise's own; this only words its no."""
    AppriseChannel("mailto://user:password@example.org")
