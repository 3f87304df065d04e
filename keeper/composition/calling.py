"""Builds the stage of margin calls on the journal of a mode."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable

from keeper.composition.session import Session
from keeper.config import Settings
from keeper.domain.units import WAD, Wad
from keeper.execution.control import listening, socket_path
from keeper.execution.submitter import NodeSubmitter
from keeper.margin.guard import Block
from keeper.margin.oracle import age_of
from keeper.margin.settings import Measure
from keeper.observe.events import Event
from keeper.observe.metrics import Metrics
from keeper.ports import Submitter
from keeper.risk.tiers import Tier
from keeper.stages.margincalls import MarginCalls, Wanted
from keeper.stages.secondsources import SecondSources
from keeper.storage.database import Database
from keeper.storage.journal import Journal


@contextlib.asynccontextmanager
async def calling(
    session: Session,
    submitter: Submitter,
    journal: Journal,
    emit: Callable[[Event], None],
    metrics: Metrics | None,
    *,
    own_clock: bool,
) -> AsyncIterator[MarginCalls]:
    """Yield the stage of margin calls with its state restored, and serve commands meanwhile.

    ``own_clock`` states that the chain's time is unrelated to this machine's and is used alone.
    """
    calls = await _build_stage(session, journal.database, emit, metrics, own_clock=own_clock)
    live = submitter if isinstance(submitter, NodeSubmitter) else None
    actions = {"ack": calls.acknowledge}
    async with listening(socket_path(journal.path), live, journal.record_control, actions):
        yield calls


async def _build_stage(
    session: Session,
    database: Database,
    emit: Callable[[Event], None],
    metrics: Metrics | None,
    *,
    own_clock: bool,
) -> MarginCalls:
    settings = session.settings
    second = SecondSources(settings.oracle.second)
    if settings.oracle.second:
        session.follower.riders.append(second)
    calls = MarginCalls(
        settings=settings.margin(both_clocks=not own_clock),
        database=database,
        reader=session.reader,
        book=session.follower,
        markets=session.markets,
        valuer=await session.coin(),
        wanted=wanted_of(settings),
        emit=emit,
        channels=len(settings.notify.channel),
        second=second.prices,
    )
    if metrics is not None:
        calls.looked = _build_counter(metrics, calls)
    await calls.start()
    return calls


def wanted_of(settings: Settings) -> Wanted:
    """Build the target of a call's advice, by default the end of the episode."""
    target, tiers = settings.calls.target, settings.policy.tiers
    if target is not None:
        health = Wad(int(target * WAD))
    elif tiers.tiers.measure is Measure.HEALTH:
        health = Wad(max(one.leave for one in tiers.tiers.bands))
    else:
        health = tiers.thresholds.watch
    return Wanted(target=health, holds_seconds=3_600 * settings.calls.holds_hours)


def _build_counter(metrics: Metrics, calls: MarginCalls) -> Callable[[Block], None]:
    """Build the function that counts a block's tiers, feed ages and rejected prices."""

    def counted(block: Block) -> None:
        tiers = Counter(one.tier for one in calls.state.standings.values())
        for tier in (Tier.WATCH, Tier.CALL, Tier.URGENT, Tier.LIQUIDATABLE):
            metrics.margin_accounts.labels(str(tier)).set(tiers[tier])
        now = block.facts.timestamp
        for stated in block.facts.markets.values():
            for reading in stated.readings:
                age = age_of(reading, now)
                if age is not None:
                    metrics.oracle_age.labels(reading.feed).set(age)
        for found in block.suspicions.values():
            for one in found:
                metrics.oracle_rejections.labels(one.feed, str(one.check)).inc()

    return counted
