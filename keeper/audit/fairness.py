"""Waiting times of accounts by size, from breach to first call and to action.

Computed from the record alone. A call is due when it is recorded, and delivered when a channel
accepted it. Delivery is an entry of its own, which earlier versions did not write. A breach begins
when an account is first recorded as liquidatable, and ends when it recovers or is liquidated. It is
acted upon when a liquidation was decided, or when one is on chain and a crash lost the decision.
After a crash entries may be out of order, with the receipt first, then the breach, then the call.
"""

import enum
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keeper.audit.chain import Entry
from keeper.domain.parity import Subject

USD_E8: Final = 10**8
BUCKETS: Final = (1_000, 10_000, 100_000, 1_000_000)
"""Lower bounds of the larger sizes, in whole dollars of debt."""
LINE: Final = "liquidatable"
CALLED: Final = "called"
CLOSED: Final = "closed"
TAKEN: Final = "sent"


class End(enum.StrEnum):
    """Ends of a breach. Its ``acted_at`` shows whether this keeper was the liquidator."""

    LIQUIDATED = "liquidated"
    RECOVERED = "recovered"
    OPEN = "open"


@dataclass(slots=True, kw_only=True)
class Call:
    """A due margin call, with its delivery time by channel. Times are the chain's.

    ``channels`` counts the channels configured then, None in an earlier version's record.
    """

    due_at: int
    channels: int | None = None
    taken: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Breach:
    """The time that one account was liquidatable. Times are the chain's.

    ``calls`` are those of the same episode and may precede the breach. ``refusals`` counts the
    skips by reason, as recorded.
    """

    subject: Subject
    since: int
    since_block: int
    debt_usd_e8: int | None = None
    calls: list[Call] = field(default_factory=list)
    acted_at: int | None = None
    acted_block: int | None = None
    end: End = End.OPEN
    refusals: Counter[str] = field(default_factory=Counter)

    @property
    def delivered_at(self) -> int | None:
        """The first delivery of a call of the episode, None where none is known."""
        return min((at for call in self.calls for at in call.taken.values()), default=None)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that accepted a call of the episode."""
        return tuple(sorted({name for call in self.calls for name in call.taken}))

    @property
    def had_no_channel(self) -> bool:
        """Whether calls came due, each at a time when no channel was configured."""
        return bool(self.calls) and all(call.channels == 0 for call in self.calls)

    @property
    def to_call(self) -> int | None:
        """Seconds until the first call was due, negative where it preceded the breach."""
        return self.calls[0].due_at - self.since if self.calls else None

    @property
    def to_delivery(self) -> int | None:
        """Seconds until the first call was delivered, negative where that preceded the breach."""
        return None if self.delivered_at is None else self.delivered_at - self.since

    @property
    def to_action(self) -> int | None:
        """Seconds from breach to the decision to liquidate."""
        return None if self.acted_at is None else self.acted_at - self.since


class Watcher:
    """Collector of each account's breaches from the record's entries."""

    def __init__(self) -> None:
        self.breaches: list[Breach] = []
        self._open: dict[Subject, Breach] = {}
        self._calls: dict[Subject, list[Call]] = {}
        self._by_key: dict[str, Call] = {}
        self._closed: dict[Subject, tuple[Breach, int]] = {}
        self._early: dict[Subject, Entry] = {}
        self._ended: dict[Subject, int] = {}

    def read(self, entries: Iterable[Entry]) -> None:
        """Read further entries. Entries of other kinds are ignored."""
        for one in entries:
            body = json.loads(one.body)
            if one.kind == "delivery":
                self._record_delivery(body)
            if one.market is None or one.account is None:
                continue
            subject = (one.market, one.account)
            if one.kind == "decision":
                self._record_decision(subject, one, body)
            elif one.kind == "call":
                self._record_call(subject, one, body)
            elif one.kind == "episode":
                self._record_tier_change(subject, one, body)
            elif one.kind == "outcome" and _is_done(body):
                self._record_liquidation(subject, one)

    def _record_liquidation(self, subject: Subject, entry: Entry) -> None:
        found = self._open.get(subject)
        if found is None:
            if self._closed.get(subject, (None, 0))[1] != entry.block_number:  # no further round
                self._early[subject] = entry
        else:
            _mark_acted(found, entry)
            self._close(subject, End.LIQUIDATED, entry)

    def _record_decision(self, subject: Subject, entry: Entry, body: Mapping[str, Any]) -> None:
        if body.get("adopted"):
            return
        breach = self._ensure_breach(subject, entry)
        if breach.debt_usd_e8 is None and body.get("debt_usd_e8") is not None:
            breach.debt_usd_e8 = int(body["debt_usd_e8"])
        if body["action"] != "liquidate":
            breach.refusals[body["reason"]] += 1
        else:
            _mark_acted(breach, entry)

    def _record_call(self, subject: Subject, entry: Entry, body: Mapping[str, Any]) -> None:
        if body["kind"] == End.LIQUIDATED:
            self._mark_liquidated(subject, entry)
        if body["kind"] != CALLED:
            return
        channels = body.get("channels")
        call = Call(due_at=entry.block_time, channels=None if channels is None else int(channels))
        self._by_key[str(body.get("key"))] = call
        if int(body.get("episode") or 0) >= self._ended.get(subject, 0):
            self._calls.setdefault(subject, []).append(call)
        breach = self._open.get(subject)
        closed, at = self._closed.get(subject, (None, 0))
        if closed is not None and entry.block_number < at:
            closed.calls.append(call)
            breach = closed
        if breach is not None and breach.debt_usd_e8 is None and body.get("debt_usd_e8"):
            breach.debt_usd_e8 = int(body["debt_usd_e8"])

    def _mark_liquidated(self, subject: Subject, entry: Entry) -> None:
        """Mark a breach that ended in this block as liquidated on chain."""
        closed, at = self._closed.get(subject, (None, 0))
        if closed is not None and at == entry.block_number:
            closed.end = End.LIQUIDATED

    def _record_delivery(self, body: Mapping[str, Any]) -> None:
        if body.get("result") != TAKEN:
            return
        for notice in body["notices"]:
            call = self._by_key.get(notice["key"])
            if call is not None:
                call.taken.setdefault(body["channel"], call.due_at + int(notice["waited"]))

    def _record_tier_change(self, subject: Subject, entry: Entry, body: Mapping[str, Any]) -> None:
        if body["tier"] == LINE:
            self._ensure_breach(subject, entry)
        elif body["before"] == LINE:
            self._close(subject, End.RECOVERED, entry)
        if body["change"] == CLOSED:
            self._calls.pop(subject, None)
            self._ended[subject] = int(body.get("episode") or 0) + 1

    def _ensure_breach(self, subject: Subject, entry: Entry) -> Breach:
        found = self._open.get(subject)
        if found is None:
            found = Breach(
                subject=subject,
                since=entry.block_time,
                since_block=entry.block_number,
                calls=self._calls.setdefault(subject, []),
            )
            self._open[subject] = found
            self.breaches.append(found)
            early = self._early.pop(subject, None)
            if early is not None and early.block_number >= entry.block_number:
                _mark_acted(found, early)
        return found

    def _close(self, subject: Subject, end: End, entry: Entry) -> None:
        found = self._open.pop(subject, None)
        if found is None:
            return
        found.calls = list(found.calls)  # later calls concern other breaches
        found.end = End.LIQUIDATED if found.acted_at is not None else end
        self._closed[subject] = found, entry.block_number


def _mark_acted(breach: Breach, entry: Entry) -> None:
    """Mark a breach as acted upon, unless it already is."""
    if breach.acted_at is None:
        breach.acted_at, breach.acted_block = entry.block_time, entry.block_number


def _is_done(body: Mapping[str, Any]) -> bool:
    """Whether an outcome is a successful liquidation."""
    worked = bool(body.get("success")) and not body.get("failure")
    return worked and body.get("what") in {"liquidation", "clearing"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Figures of one account size. Times in seconds, None without data.

    ``due`` counts breaches with a due call, ``delivered`` those with a delivered one,
    ``without_channel`` those with calls due while no channel was configured.
    """

    size: str
    breaches: int
    due: int
    delivered: int
    without_channel: int
    acted: int
    to_due_median: int | None
    to_due_slowest_tenth: int | None
    to_delivery_median: int | None
    to_delivery_slowest_tenth: int | None
    to_action_median: int | None
    to_action_slowest_tenth: int | None
    left_alone: Mapping[str, int]


def rows(breaches: Sequence[Breach]) -> list[Row]:
    """Build a row for every size that occurs, smallest first, unknown last."""
    sizes = [*range(len(BUCKETS) + 1), None]
    grouped = {size: [one for one in breaches if bucket(one.debt_usd_e8) == size] for size in sizes}
    return [_build_row(size, found) for size, found in grouped.items() if found]


def bucket(debt_usd_e8: int | None) -> int | None:
    """Return a debt's size as the number of ``BUCKETS`` that it reaches."""
    if debt_usd_e8 is None:
        return None
    return sum(debt_usd_e8 >= limit * USD_E8 for limit in BUCKETS)


def name(size: int | None) -> str:
    """Format a size."""
    if size is None:
        return "unknown"
    if size == 0:
        return f"under {BUCKETS[0]:,} USD"
    if size == len(BUCKETS):
        return f"from {BUCKETS[-1]:,} USD"
    return f"{BUCKETS[size - 1]:,} to {BUCKETS[size]:,} USD"


def share(values: Sequence[int], percent: int) -> int | None:
    """Return the nearest-rank percentile of the values, None of an empty list."""
    if not values:
        return None
    place = -(-len(values) * percent // 100)
    return sorted(values)[max(place, 1) - 1]


def _build_row(size: int | None, found: Sequence[Breach]) -> Row:
    due = [one.to_call for one in found if one.to_call is not None]
    delivered = [one.to_delivery for one in found if one.to_delivery is not None]
    actions = [one.to_action for one in found if one.to_action is not None]
    alone = [one for one in found if one.acted_at is None and one.refusals]
    reasons = Counter(one.refusals.most_common(1)[0][0] for one in alone)
    return Row(
        size=name(size),
        breaches=len(found),
        due=len(due),
        delivered=len(delivered),
        without_channel=sum(one.had_no_channel for one in found),
        acted=len(actions),
        to_due_median=share(due, 50),
        to_due_slowest_tenth=share(due, 90),
        to_delivery_median=share(delivered, 50),
        to_delivery_slowest_tenth=share(delivered, 90),
        to_action_median=share(actions, 50),
        to_action_slowest_tenth=share(actions, 90),
        left_alone=dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))),
    )
