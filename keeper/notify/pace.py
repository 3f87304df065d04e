"""Delivery schedule of a channel, with grouping and retries. Times in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.domain.telling import Outgoing, Waiting

RATE_SECONDS = 60
JITTER = 0.25
DOUBLINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Delivery limits, as in the ``[notify]`` settings."""

    group_seconds: int
    digest_above: int
    max_per_minute: int
    timeout_seconds: int
    first_retry_seconds: int
    longest_retry_seconds: int
    give_up_seconds: int
    alarm_after_failures: int

    def retry_after(self, failures: int, asked: float | None) -> int:
        """Return the delay after the ``failures``-th failure in a row.

        It doubles up to the longest delay. A longer delay requested by the receiver is honoured.
        """
        doubled = self.first_retry_seconds << min(max(failures - 1, 0), DOUBLINGS)
        patience = min(doubled, self.longest_retry_seconds)
        return max(patience, -int(-asked // 1)) if asked is not None else patience

    @property
    def longest_wait(self) -> float:
        """The longest delay until the next attempt, unless the receiver requested more."""
        return self.longest_retry_seconds * (1 + JITTER)

    def gives_up(self, message: Outgoing, now: int) -> bool:
        """Whether a failed message is too old for another attempt."""
        return now - message.created_at >= self.give_up_seconds

    def is_ripe(self, waiting: Sequence[Waiting], now: int) -> bool:
        """Whether the waiting deliveries have waited long enough to be grouped.

        A delivery dated later than now has waited too, since the clock was set back.
        """
        if not waiting:
            return False
        return not 0 <= now - min(one.since for one in waiting) < self.group_seconds

    def groups(self, waiting: Sequence[Waiting], room: int) -> list[Sequence[Waiting]]:
        """Group waiting deliveries into messages, given room for ``room`` messages.

        A few deliveries get a message each. More than the limit or the room become one digest.
        """
        if room <= 0 or not waiting:
            return []
        if len(waiting) > min(self.digest_above, room):  # mutation: F42 digest
            return [waiting]
        return [[one] for one in waiting]
