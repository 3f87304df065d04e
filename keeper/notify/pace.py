"""When a channel is tried again, and when it may be told the next thing. Times in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from keeper.domain.telling import Outgoing, Waiting

RATE_SECONDS = 60
JITTER = 0.25
DOUBLINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """See ``keeper.config.notifying.Notify``."""

    group_seconds: int
    digest_above: int
    max_per_minute: int
    timeout_seconds: int
    first_retry_seconds: int
    longest_retry_seconds: int
    give_up_seconds: int
    alarm_after_failures: int

    def retry_after(self, failures: int, asked: float | None) -> int:
        """
        Return how long to wait after the ``failures``-th failure in a row.

        It doubles up to the longest; what the other side asked for is honoured even beyond.
        """
        doubled = self.first_retry_seconds << min(max(failures - 1, 0), DOUBLINGS)
        patience = min(doubled, self.longest_retry_seconds)
        return max(patience, -int(-asked // 1)) if asked is not None else patience

    @property
    def longest_wait(self) -> float:
        """The longest that a message waits for its next try where nobody asked for more."""
        return self.longest_retry_seconds * (1 + JITTER)

    def gives_up(self, message: Outgoing, now: int) -> bool:
        """Whether a message that failed again is not worth another try."""
        return now - message.created_at >= self.give_up_seconds

    def is_ripe(self, waiting: Sequence[Waiting], now: int) -> bool:
        """
        Whether those who wait have waited for each other.

        One that waits since later than now has waited, too: the clock was set back.
        """
        if not waiting:
            return False
        return not 0 <= now - min(one.since for one in waiting) < self.group_seconds

    def groups(self, waiting: Sequence[Waiting], room: int) -> list[Sequence[Waiting]]:
        """
        Return who is told together, given room for so many messages.

        Few are told one by one; many, or more than there is room for, as one digest.
        """
        if room <= 0 or not waiting:
            return []
        if len(waiting) > min(self.digest_above, room):
            return [waiting]
        return [[one] for one in waiting]
