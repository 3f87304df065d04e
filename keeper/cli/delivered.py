"""A call in words: due, or delivered to so many channels at a time; never assumed."""

from typing import Final

from keeper.domain import wording
from keeper.domain.notice import NoticeKind
from keeper.domain.telling import MessageState
from keeper.storage.deliveries import Call

NO_CHANNEL: Final = "these settings have no channel: calls come due and are delivered to nobody"
"""By the settings as they are; what was delivered under others is on record."""

_NOTICES: Final = {
    NoticeKind.CALLED: "call",
    NoticeKind.ESCALATED: "escalation",
    NoticeKind.CURED: "notice of having left every tier",
    NoticeKind.LIQUIDATED: "notice of the liquidation",
}
"""What is due, by a notice's kind; the others name themselves."""


def notice_text(kind: str) -> str:
    """Return what a notice of a kind is, for a sentence that says that it is due."""
    return {str(one): text for one, text in _NOTICES.items()}.get(kind, kind)


def call_text(call: Call | None) -> str:
    """Return what became of a call; None is one that is not in the outbox."""
    if call is None:
        return "due; no delivery is known"
    if not call.deliveries:
        return "due; no channel asked for it" if call.is_routed else "due"
    taken = call.taken
    others = [_others(call, MessageState.WAITING, "waiting for")]
    others.append(_others(call, MessageState.DEAD, "given up for"))
    said = "due"
    if taken:
        first = wording.moment(min(one.at or 0 for one in taken))
        count = len(taken)
        said = f"delivered to {count} {wording.plural('channel', count)} at {first}"
    return "; ".join([said, *(one for one in others if one)])


def call_document(call: Call | None) -> dict[str, object]:
    """Return the same for scripts; times are Unix seconds of the keeper's machine."""
    if call is None:
        return {"state": "due", "due_at": None, "delivered_to": 0, "channels": []}
    return {
        "state": "delivered" if call.taken else "due",
        "due_at": call.due_at,
        "delivered_to": len(call.taken),
        "channels": [
            {"channel": one.channel, "state": str(one.state), "at": one.at, "reason": one.reason}
            for one in call.deliveries
        ],
    }


def _others(call: Call, state: MessageState, said: str) -> str:
    count = sum(one.state is state for one in call.deliveries)
    return f"{said} {count} {wording.plural('channel', count)}" if count else ""
