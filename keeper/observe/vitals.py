"""Runtime state of a node, with its last progress and its endpoints' answers."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from keeper.chain.rpc import Exchange
from keeper.domain.errors import ChainError, RpcBusy, RpcUnavailable
from keeper.domain.head import Head
from keeper.domain.units import BlockHash, MarketKey, deployment
from keeper.observe.census import census
from keeper.observe.metrics import Metrics
from keeper.observe.stages import Stage
from keeper.ports import MarketSnapshot
from keeper.risk.tiers import Thresholds, Tier

REMEMBERED: Final = 64
"""Maximum of heads with a stored arrival time."""
UNCOUNTED: Final = 10_000
"""Maximum of uncounted exchanges. The oldest are dropped."""

_NO_ANSWER: Final = frozenset({RpcUnavailable.code, RpcBusy.code})


@dataclass(slots=True, kw_only=True)
class Vitals:
    """Observer of a node that only records times while a block is processed.

    Costly counting is deferred to ``count``. ``head`` is the newest head. ``failing_since`` is the
    time, by ``clock``, since the endpoint has failed, None while it answers. ``grown_at`` is the
    time of the last head higher than all before, since a head that changes without growing is no
    progress. ``trouble`` is the last block's error code.
    """

    metrics: Metrics
    thresholds: Thresholds
    clock: Callable[[], float] = time.monotonic
    head: Head | None = None
    failing_since: float | None = None
    trouble: str = ""
    skipped_in_row: int = 0
    passed_at: dict[Stage, float] = field(default_factory=dict)
    grown_at: float | None = None
    _highest: int = -1
    _marks: dict[Stage, tuple[BlockHash, float]] = field(default_factory=dict)
    arrivals: dict[BlockHash, float] = field(default_factory=dict)
    _uncounted: Sequence[MarketSnapshot] | None = None
    _exchanges: deque[Exchange] = field(default_factory=lambda: deque(maxlen=UNCOUNTED))

    def passed(self, stage: Stage, head: Head) -> None:
        """Note that a stage is reached now."""
        now = self.clock()
        self.passed_at[stage] = now
        if stage is Stage.HEAD:
            self.head = head
            if head.number > self._highest:
                self._highest, self.grown_at = head.number, now
            self.arrivals[head.hash] = now
            if len(self.arrivals) > REMEMBERED:
                del self.arrivals[next(iter(self.arrivals))]
        else:
            self._marks[stage] = (head.hash, now)

    def measured(self, exchange: Exchange) -> None:
        """Note an endpoint's answer."""
        self._exchanges.append(exchange)
        if not _NO_ANSWER & set(exchange.errors):
            self.failing_since = None
        elif self.failing_since is None:
            self.failing_since = self.clock()

    def reorged(self, depth: int) -> None:
        """Note the depth of a reorg."""
        self.metrics.reorgs.observe(depth)

    def skipped(self, head: Head, error: ChainError) -> None:
        """Note that a block could not be read."""
        self.skipped_in_row += 1
        self.trouble = f"{error.code} ({error})" if str(error) else error.code
        self.arrivals.pop(head.hash, None)
        self.metrics.blocks.labels(error.code).inc()

    def done(self, head: Head, snapshots: Sequence[MarketSnapshot]) -> None:
        """Note that a block is completely processed, with its snapshots."""
        self.trouble, self.skipped_in_row = "", 0
        self.metrics.blocks.labels("done").inc()
        arrived = self.arrivals.pop(head.hash, None)
        taken, read = (
            self._find_mark_time(Stage.TAKEN, head),
            self._find_mark_time(Stage.READ, head),
        )
        if taken is not None and read is not None:
            self.metrics.scan.observe(read - taken)
        for stage, histogram in (
            (Stage.DECIDED, self.metrics.to_decision),
            (Stage.SUBMITTED, self.metrics.to_submit),
        ):
            reached = self._find_mark_time(stage, head)
            if arrived is not None and reached is not None:
                histogram.observe(reached - arrived)
        self._uncounted = snapshots

    def count(self) -> None:
        """Count the deferred data, endpoint answers and accounts by tier."""
        if self._uncounted is not None:
            self._count_positions(self._uncounted)
            self._uncounted = None
        while self._exchanges:
            one = self._exchanges.popleft()
            endpoint, methods = str(one.endpoint), set(one.methods)
            method = one.methods[0] if len(methods) == 1 else "batch"
            self.metrics.rpc_seconds.labels(endpoint, method).observe(one.seconds)
            for code, count in Counter(one.errors).items():
                self.metrics.rpc_errors.labels(endpoint, method, code).inc(count)

    def seconds_since(self, stage: Stage) -> float | None:
        """Return the seconds since a stage was last reached, None if never."""
        at = self.passed_at.get(stage)
        return None if at is None else self.clock() - at

    def seconds_since_growth(self) -> float | None:
        """Return the seconds since the chain last grew, None if never."""
        return None if self.grown_at is None else self.clock() - self.grown_at

    def _find_mark_time(self, stage: Stage, head: Head) -> float | None:
        marked, at = self._marks.get(stage, ("", 0.0))
        return at if marked == head.hash else None

    def _count_positions(self, snapshots: Sequence[MarketSnapshot]) -> None:
        counts = dict[MarketKey, Counter[Tier]]()
        for one in snapshots:
            found = Counter(census(one, self.thresholds))
            if found.total():
                counts[deployment(one.market)] = (
                    counts.get(deployment(one.market), Counter()) + found
                )
        self.metrics.positions.clear()
        for market, tiers in sorted(counts.items()):
            for tier in Tier:
                self.metrics.positions.labels(market, str(tier)).set(tiers[tier])
