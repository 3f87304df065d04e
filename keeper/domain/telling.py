"""What is told to a channel: notices made into messages, and how the telling goes."""

import enum
import json
from dataclasses import dataclass, field

from keeper.domain.notice import Notice


class MessageState(enum.StrEnum):
    """What became of a message."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"  # tried for as long as the settings say, then given up


class Severity(enum.StrEnum):
    """How loudly to tell, worst first."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """
    One notice of a message, as machines read it; every value is text or missing.

    ``cures`` are what would cure the account, cheapest first.
    """

    key: str
    fields: dict[str, str | None] = field(default_factory=dict)
    cures: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    One message as it leaves, for people and machines; a retry is the same, by its ``key``.

    ``count`` is how many notices it tells; ``items`` has the worst of them.
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
    """A notice that a channel is to be told of; ``since`` is Unix seconds."""

    delivery: int
    notice: Notice
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message on its way to a channel; times are Unix seconds."""

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
    """How much is still to be told, since when (Unix seconds), and how much was given up."""

    waiting: int
    oldest: int | None
    dead: int
