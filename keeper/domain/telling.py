"""Messages to channels, made of notices, and the state of their delivery."""

import enum
import json
from dataclasses import dataclass, field

from keeper.domain.notice import Notice


class MessageState(enum.StrEnum):
    """Delivery state of a message."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"  # tried for as long as the settings say, then given up


class Severity(enum.StrEnum):
    """Severity of a message, worst first."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One notice of a message in machine-readable form. Every value is text or missing.

    ``cures`` are the possible cures of the account, cheapest first.
    """

    key: str
    fields: dict[str, str | None] = field(default_factory=dict)
    cures: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message for people and machines. A retry has the same ``key``.

    ``count`` is the number of notices in it. ``items`` holds the worst of them.
    """

    key: str
    severity: Severity
    title: str
    text: str
    html: str
    count: int
    items: tuple[Item, ...]

    @staticmethod
    def from_document(document: str) -> "Message":
        """Return the message of canonical JSON."""
        raw = json.loads(document)
        return Message(
            **{
                **raw,
                "severity": Severity(raw["severity"]),
                "count": int(raw["count"]),
                "items": tuple(
                    Item(**{**one, "cures": tuple(one.get("cures", ()))}) for one in raw["items"]
                ),
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A notice to deliver to a channel. ``since`` is Unix seconds."""

    delivery: int
    notice: Notice
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to a channel with its delivery state. Times are Unix seconds."""

    id: int
    channel: str
    message: Message
    state: MessageState
    attempts: int
    last_error: str
    created_at: int
    due_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """Undelivered messages.

    Their number, the oldest one's time (Unix seconds), and the given-up ones.
    """

    waiting: int
    oldest: int | None
    dead: int
