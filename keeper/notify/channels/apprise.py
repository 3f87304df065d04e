"""Channel for services that Apprise supports, such as e-mail, Telegram, Slack and PagerDuty.

Its URLs and its error texts are secret. Only an HTTP status is taken from them.
"""

import asyncio
import logging
import re
from typing import Final

import apprise

from keeper.domain.errors import NotTold
from keeper.domain.telling import Message, Severity
from keeper.notify.channels.apprise_urls import describe_refusal

_TYPES: Final = {
    Severity.CRITICAL: apprise.NotifyType.FAILURE,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.INFO: apprise.NotifyType.INFO,
}
_STATUS: Final = re.compile(r"error\s*[=:]\s*(\d{3})\b")
SERVICE_SECONDS: Final = 12.0
"""Timeout of a service, below the dispatcher's default one."""


class AppriseChannel:
    """``Channel`` for one Apprise URL."""

    def __init__(self, url: str) -> None:
        asset = apprise.AppriseAsset(
            app_id="Keeper",
            app_desc="Margin calls",
            app_url="",
            secure_logging=True,
            interpret_escapes=False,
            interpret_emojis=False,
            service_timeout=SERVICE_SECONDS,
        )
        plugin = apprise.Apprise.instantiate(url, asset=asset)
        if plugin is None:
            raise describe_refusal(url)
        self._service = apprise.Apprise(asset=asset)
        self._service.add(plugin)
        formats = plugin.notify_format
        listed = formats if isinstance(formats, tuple) else (formats,)
        self._as_html = apprise.NotifyFormat.HTML in listed

    async def tell(self, message: Message) -> None:
        """Send once. Raises NotTold unless the service accepted the message."""
        heard = _StatusCapture()
        logger = logging.getLogger("apprise")
        logger.addHandler(heard)
        logger.propagate = False
        try:
            taken = await self._service.async_notify(
                title=message.title,
                body=message.html if self._as_html else message.text,
                body_format=(
                    apprise.NotifyFormat.HTML if self._as_html else apprise.NotifyFormat.TEXT
                ),
                notify_type=_TYPES[message.severity],
            )
        except TypeError as error:  # a refused body or title
            raise NotTold("Apprise refused the message", final=True) from error
        finally:
            logger.removeHandler(heard)
        if not taken:
            raise NotTold(heard.why)

    async def close(self) -> None:
        """Do nothing, since no connection stays open."""
        await asyncio.sleep(0)


class _StatusCapture(logging.Handler):
    """Log handler that extracts an HTTP status from Apprise's logs and drops the rest."""

    why = "the service did not take it, or did not answer"

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found is not None:
            self.why = f"the service answered {found.group(1)}"


def build(url: str, secret: str) -> AppriseChannel:  # noqa: ARG001 - every kind is built alike
    """Return the channel of these settings. Raises ConfigError for a URL unknown to Apprise."""
    return AppriseChannel(url)
