"""Builds the health checks and metrics of a running node.

The block loop waits for none of it. Times are noted and counted later, other state is read on
request, and the wallet is fetched then, too.
"""

import asyncio
import contextlib
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import keeper
from keeper.chain.optional import fetch_pending_nonce
from keeper.clock import wall
from keeper.composition.session import Session
from keeper.config.listening import listen_address
from keeper.domain.errors import KeeperError
from keeper.domain.head import Basis
from keeper.domain.telling import Backlog
from keeper.execution.submitter import NodeSubmitter
from keeper.observe.endpoints import (
    agreement_check,
    answers_check,
    endpoint_check,
    measure,
)
from keeper.observe.events import Event
from keeper.observe.health import (
    Check,
    Health,
    book_check,
    head_check,
    joined_check,
    journal_check,
    markets_check,
    patience,
    work_check,
)
from keeper.observe.http import LOCAL_NAMES, Window, served
from keeper.observe.metrics import Metrics, ether
from keeper.observe.stages import Unwatched, Watch
from keeper.observe.tally import Tally
from keeper.observe.vitals import Vitals
from keeper.ports import Submitter
from keeper.storage.journal import Journal

Emit = Callable[[Event], None]

WALLET_SECONDS: Final = 30.0
"""Maximum age of the wallet's balance and nonces on request."""
WALLET_PATIENCE: Final = 1.0
"""Timeout of reading them for the metrics."""
LAG_SECONDS: Final = 1.0
"""Seconds between two measurements of the event loop's lag."""


@dataclass(slots=True, kw_only=True)
class Watching:
    """Observable node. ``watch`` is passed to the node, ``tapped`` wraps its events."""

    session: Session
    metrics: Metrics
    vitals: Vitals
    health: Health
    _tally: Tally = field(init=False)
    _live: NodeSubmitter | None = None
    _journal: Journal | None = None
    _wallet_at: float | None = None
    outbox: Callable[[], Awaitable[Backlog]] | None = None

    def __post_init__(self) -> None:
        self._tally = Tally(metrics=self.metrics)

    @property
    def watch(self) -> Watch:
        """Receiver of the node's progress."""
        return self.vitals

    def tapped(self, emit: Emit) -> Emit:
        """Wrap ``emit`` so that events are also counted."""

        def told(event: Event) -> None:
            emit(event)
            self._tally.told(event)

        return told

    def attach(self, submitter: Submitter, journal: Journal | None) -> None:
        """Observe the submitter and its journal from now on."""
        if not isinstance(submitter, NodeSubmitter) or journal is None:
            return
        self._live, self._journal = submitter, journal
        self.health.checks["journal"] = journal_check(
            journal.path, lambda: journal.database.failing
        )
        self.health.checks["signing"] = signing_check(submitter)
        self.health.checks["finality"] = submitter.tracker.takebacks.concern

    async def text(self) -> bytes:
        """Render the present metrics."""
        await self._update_wallet()
        await self._update_outbox()
        self._update_metrics()
        return self.metrics.text()

    def _update_metrics(self) -> None:
        """Update the metrics from the state of other parts."""
        metrics, vitals = self.metrics, self.vitals
        vitals.count()
        metrics.tasks.set(len(asyncio.all_tasks()))
        metrics.requests = dict(self.session.reader.requests)
        measure(metrics, self.session.reader.rpc.pool)
        if vitals.head is not None:
            metrics.head_time.set(vitals.head.timestamp)
            metrics.head_age.set(vitals.seconds_since_growth() or 0.0)
        for stage in vitals.passed_at:
            metrics.progress.labels(str(stage)).set(wall() - (vitals.seconds_since(stage) or 0.0))
        metrics.doubted.set(len(self.session.follower.parity.doubted))
        self.metrics.set_uncovered(self.session.follower.coverage.uncovered_usd_e8())
        looks, keeping = self.session.follower.looks, self.session.follower.keeping
        metrics.count_looks(looks.counts)
        metrics.covered_block.set(looks.covered_to or 0)
        metrics.unexplained.set(len(looks.explanations.open))
        metrics.book_failures = keeping.failures
        metrics.kept_block.set(keeping.kept_block or 0)
        quarantined = self.session.follower.quarantined
        for market in self.session.markets:
            metrics.quarantined.labels(market.key).set(market.key in quarantined)
        if self._live is not None and self._journal is not None:
            metrics.inflight.set(len(self._live.tracker.bound()))
            metrics.held.set(bool(self._live.held))
            metrics.journal_failures = self._journal.database.failures

    async def _update_outbox(self) -> None:
        """Count the outbox's backlog. A failing disk is reported elsewhere."""
        if self.outbox is None:
            return
        with contextlib.suppress(KeeperError):
            left = await self.outbox()
            since = 0.0 if left.oldest is None else max(0.0, wall() - left.oldest)
            self.metrics.outbox_waiting.set(left.waiting)
            self.metrics.outbox_oldest.set(since)
            self.metrics.outbox_dead.set(left.dead)

    async def _update_wallet(self) -> None:
        """Fetch balance and nonces unless they are fresh. Errors leave the old values."""
        now, head = time.monotonic(), self.vitals.head
        fresh = self._wallet_at is not None and now - self._wallet_at < WALLET_SECONDS
        if self._live is None or head is None or fresh:
            return
        self._wallet_at = now
        reader, address = self.session.reader, self._live.signer.address
        with contextlib.suppress(KeeperError, TimeoutError):
            async with asyncio.timeout(WALLET_PATIENCE):
                water = await self._live.tracker.journal.high_water()
                own = self._live.tracker.journal.first_nonce if water is None else water + 1
                self.metrics.nonce.labels("journal").set(own)
                balance = await reader.balance(address, Basis(block_hash=head.hash))
                self.metrics.balance.set(ether(balance))
                latest = await reader.transaction_count(address)
                self.metrics.nonce.labels("latest").set(latest)
                pending = await fetch_pending_nonce(reader, address)
                if pending is not None:
                    self.metrics.nonce.labels("pending").set(pending)


def signing_check(submitter: NodeSubmitter) -> Check:
    """Build the check that signing is possible."""

    def check() -> str:
        return submitter.held or submitter.hindrance

    return check


@contextlib.asynccontextmanager
async def watched(
    session: Session, mode: str, *, own_clock: bool
) -> AsyncIterator[Watching | None]:
    """Serve health and metrics while the context lasts. None if no address is set.

    ``own_clock`` states that the chain's time is unrelated to this machine's.
    """
    observe = session.settings.observe
    if not observe.listen:
        yield None
        return
    watching = _build_observation(session, mode, own_clock=own_clock)
    host, port = listen_address(observe.listen)
    window = Window(
        health=watching.health,
        metrics=watching.text,
        version={
            "version": keeper.__version__,
            "python": platform.python_version(),
            "chain_id": str(session.settings.chain.id),
            "mode": mode,
        },
        hosts=LOCAL_NAMES | {host, *observe.hosts},
    )
    lagging = asyncio.create_task(measure_lag(watching.metrics), name="measure-lag")
    try:
        async with served(window, host, port):
            yield watching
    finally:
        lagging.cancel()
        await asyncio.wait([lagging])


def watch_of(watching: Watching | None) -> Watch:
    """Return the receiver of the node's progress, also if nothing is served."""
    return Unwatched() if watching is None else watching.watch


def _build_observation(session: Session, mode: str, *, own_clock: bool) -> Watching:
    settings = session.settings
    metrics = Metrics()
    vitals = Vitals(metrics=metrics, thresholds=settings.policy.tiers.thresholds)
    metrics.build.labels(keeper.__version__, str(settings.chain.id), mode).set(1)
    limit = patience(settings.chain.block_time_ms / 1000, settings.observe.late_after_blocks)
    follower = session.follower
    health = Health(
        checks={
            "head": head_check(vitals, limit, None if own_clock else wall),
            "work": work_check(vitals, limit),
            "endpoint": joined_check(
                endpoint_check(vitals, session.reader.rpc.pool),
                answers_check(session.reader.rpc.faults),
                session.venue_watch.concern,
            ),
            "agreement": agreement_check(session.reader.rpc.pool),
            "markets": markets_check(
                len(session.markets),
                lambda: follower.quarantined,
                lambda: follower.unanswered,
            ),
            "book": joined_check(
                book_check(lambda: len(follower.parity.doubted)), follower.concern
            ),
        }
    )
    session.reader.rpc.measured = vitals.measured
    follower.reorged = vitals.reorged
    return Watching(session=session, metrics=metrics, vitals=vitals, health=health)


async def measure_lag(metrics: Metrics) -> None:
    """Measure, until it is cancelled, how much later than asked the event loop goes on."""
    while True:
        due = time.monotonic() + LAG_SECONDS
        await asyncio.sleep(LAG_SECONDS)
        metrics.lag.observe(max(0.0, time.monotonic() - due))  # mutation: F40 loop-lag
