"""Alarms about the keeper itself, such as open breakers and disagreeing endpoints."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from keeper.domain.errors import KeeperError
from keeper.domain.head import Head
from keeper.domain.notice import Notice, NoticeKind

SIGNED_ALL_THE_SAME: Final = frozenset({"fees", "send"})
"""Disagreements that do not stop signing, since one of the answers is chosen."""

Event = dict[str, object]
Emit = Callable[[Event], None]


@dataclass(slots=True)
class Alarms:
    """Collector of alarms from the keeper's events.

    ``head`` is the block that dates an alarm.
    """

    head: Callable[[], Head]
    _waiting: list[Notice] = field(default_factory=list)

    def tapped(self, emit: Emit) -> Emit:
        """Return an ``emit`` that also collects alarms from its events."""

        def told(event: Event) -> None:
            emit(event)
            self._collect(event)

        return told

    def taken(self) -> list[Notice]:
        """Return the alarms collected since the last call."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def stopped(self, error: KeeperError) -> Notice:
        """Return the alarm for an error that ends the keeper."""
        return self._build_alarm(f"stopped {error.code}", f"the keeper stopped: {error}")

    def _collect(self, event: Event) -> None:
        if event.get("event") == "breaker" and event.get("state") == "open":
            what = f"the limit {event['name']} holds new transactions: {event['detail']}"
            self._waiting.append(self._build_alarm(f"breaker {event['name']}", what))
        elif event.get("event") == "finality" and event.get("state") == "taken_back":
            what = f"the chain took back what counted as final: {event['detail']}"
            self._waiting.append(self._build_alarm("finality", what))
        elif event.get("event") == "disagreement" and event.get("state") == "found":
            kind = event["what"]
            about = f" on {kind}" if kind in SIGNED_ALL_THE_SAME else ", nothing is signed"
            what = f"endpoints disagree{about}: {event['detail']}"
            self._waiting.append(self._build_alarm(f"disagreement {event['what']}", what))

        elif event.get("event") == "coverage" and event.get("state") == "uncovered":
            what = f"{event['market']}: {event['detail']}; {event['hint']}"
            self._waiting.append(self._build_alarm(f"coverage {event['market']}", what))

    def _build_alarm(self, what: str, detail: str) -> Notice:
        head = self.head()
        return Notice(
            key=f"keeper: {what} {head.number}",
            kind=NoticeKind.ALARM,
            tier="",
            block_number=head.number,
            block_hash=head.hash,
            timestamp=head.timestamp,
            detail=detail,
        )
