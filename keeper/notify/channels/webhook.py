"""Webhook channel that sends the message as signed JSON.

``X-Keeper-Signature`` is ``v1=`` and the hex HMAC-SHA256, with the shared secret, of
``X-Keeper-Timestamp``, a full stop and the body. The receiver compares in constant time, refuses
old timestamps, and detects repetitions by ``Idempotency-Key``.
"""

import hashlib
import hmac
import json
from collections.abc import Callable

from keeper.clock import wall
from keeper.domain.telling import Message
from keeper.notify.channels.web import Web


class Webhook:
    """``Channel`` for a signed POST."""

    def __init__(self, url: str, secret: str, *, clock: Callable[[], float] = wall) -> None:
        self._web = Web(url)
        self._secret = secret.encode()
        self._clock = clock

    async def tell(self, message: Message) -> None:
        """Send once. Raises NotTold unless the answer is 2xx."""
        body = json.dumps(document(message), sort_keys=True).encode()
        stamp = str(int(self._clock()))
        await self._web.post(
            body,
            {
                "Idempotency-Key": message.key,
                "X-Keeper-Timestamp": stamp,
                "X-Keeper-Signature": f"v1={signature(self._secret, stamp, body)}",
            },
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._web.close()


def document(message: Message) -> dict[str, object]:
    """Build the JSON document of a webhook. Integers of the items are decimal strings."""
    return {
        "key": message.key,
        "severity": str(message.severity),
        "title": message.title,
        "text": message.text,
        "count": message.count,
        "notices": [
            {"key": one.key, **one.fields, "cures": list(one.cures)} for one in message.items
        ],
    }


def signature(secret: bytes, stamp: str, body: bytes) -> str:
    """Compute the hex HMAC-SHA256 that a receiver checks."""
    return hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def build(url: str, secret: str) -> Webhook:
    """Return the channel of these settings."""
    return Webhook(url, secret)
