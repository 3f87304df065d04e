"""Alertmanager channel for API v2, with one alert per account and tier.

An alert expires after ``ALERT_SECONDS`` unless it is repeated. A closing notice ends all alerts of
the account. Source: https://prometheus.io/docs/alerting/latest/alerts_api
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from keeper.clock import wall
from keeper.domain.notice import CLOSING, NoticeKind
from keeper.domain.telling import Item, Message, Severity
from keeper.notify.channels.web import Web

PATH: Final = "/api/v2/alerts"
ALERT_SECONDS: Final = 86_400
TIERS: Final = ("watch", "call", "urgent", "liquidatable")
SEVERITIES: Final = {
    "watch": Severity.INFO,
    "call": Severity.WARNING,
    "urgent": Severity.CRITICAL,
    "liquidatable": Severity.CRITICAL,
}
"""By tier only, since a closing notice must have the labels of its alert."""

Alert = dict[str, object]


class Alertmanager:
    """``Channel`` for Alertmanager. ``url`` is the API's base, before ``/api/v2``."""

    def __init__(self, url: str, *, clock: Callable[[], float] = wall) -> None:
        self._web = Web(url.rstrip("/") + PATH)
        self._clock = clock

    async def tell(self, message: Message) -> None:
        """Send once. Raises NotTold unless the answer is 2xx."""
        await self._web.post(json.dumps(alerts(message, int(self._clock()))).encode(), {})

    async def close(self) -> None:
        """Close the connections."""
        await self._web.close()


def alerts(message: Message, now: int) -> list[Alert]:
    """Build the alerts of a message. A digest is a single alert."""
    if message.count > 1:
        labels = {
            "alertname": "KeeperMarginCallDigest",
            "severity": str(message.severity),
            "key": message.key,  # tells a second digest from the first one
        }
        return [_build_alert(labels, message, now, now + ALERT_SECONDS)]
    return [alert for item in message.items for alert in _build_item_alerts(item, message, now)]


def _build_item_alerts(item: Item, message: Message, now: int) -> list[Alert]:
    kind = item.fields["kind"]
    if kind == NoticeKind.ALARM:
        labels = {"alertname": "KeeperAlarm", "severity": str(message.severity), "key": item.key}
        return [_build_alert(labels, message, now, now + ALERT_SECONDS)]
    closing = kind in CLOSING
    tiers = TIERS if closing else (str(item.fields["tier"]),)
    ends = now if closing else now + ALERT_SECONDS
    return [
        _build_alert(
            {
                "alertname": "KeeperMarginCall",
                "severity": str(SEVERITIES.get(tier, message.severity)),
                "tier": tier,
                "market": str(item.fields["market"]),
                "account": str(item.fields["account"]),
            },
            message,
            now,
            ends,
        )
        for tier in tiers
    ]


def _build_alert(labels: dict[str, str], message: Message, starts: int, ends: int) -> Alert:
    return {
        "labels": labels,
        "annotations": {"summary": message.title, "description": message.text},
        "startsAt": _format_rfc3339(starts),
        "endsAt": _format_rfc3339(ends),
    }


def _format_rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()


def build(url: str, secret: str) -> Alertmanager:  # noqa: ARG001 - every kind is built alike
    """Return the channel of these settings. Nothing is signed."""
    return Alertmanager(url)
