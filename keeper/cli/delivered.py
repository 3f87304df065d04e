"""Delivery state of a margin call as text and JSON. A call is due, or was delivered."""

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
    """Return the name of a notice's kind for a sentence that says it is due."""
    return {str(one): text for one, text in _NOTICES.items()}.get(kind, kind)


def call_text(call: Call | None) -> str:
    """Return a call's delivery as text. None is a call that is not in the outbox."""
    if call is None:
        return "due; no delivery is known"
    if not call.deliveries:
        return "due; no channel asked for it" if call.is_routed else "due"
    taken = call.taken
    others = [_count_in_state(call, MessageState.WAITING, "waiting for")]
    others.append(_count_in_state(call, MessageState.DEAD, "given up for"))
    said = "due"
    if taken:
        first = wording.moment(min(one.at or 0 for one in taken))
        count = len(taken)
        said = f"delivered to {count} {wording.plural('channel', count)} at {first}"
    return "; ".join([said, *(one for one in others if one)])


def call_document(call: Call | None) -> dict[str, object]:
    """Return a call's delivery as JSON. Times are Unix seconds of the keeper's machine."""
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


def _count_in_state(call: Call, state: MessageState, said: str) -> str:
    count = sum(one.state is state for one in call.deliveries)
    return f"{said} {count} {wording.plural('channel', count)}" if count else ""
