"""Composition root. Builds a running node, or an answer, from settings."""

import contextlib
import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from keeper.audit.inputs import Program
from keeper.book.follower import Progress
from keeper.chain.abi import selector
from keeper.chain.heads import Heads, Pace, tell_trouble
from keeper.chain.optional import fetch_pending_nonce
from keeper.chain.quorum import Quorum
from keeper.composition.bidding import fee_oracle, fee_policy, liquidation_policy
from keeper.composition.calling import calling
from keeper.composition.deciding import build_decide
from keeper.composition.executors import refuse_unfit_executor
from keeper.composition.limiting import breakers_of
from keeper.composition.next_block import NextBlock
from keeper.composition.notifying import notifying
from keeper.composition.operators import OperatorReads
from keeper.composition.portioning import plan_in_portions
from keeper.composition.racing import racing
from keeper.composition.session import Session, opened
from keeper.composition.simulating import by_executor, simulators_of
from keeper.composition.splitting import batch_splitter, batch_subset
from keeper.composition.stalling import Stalling, stall_bound
from keeper.composition.timing import untimely_reason
from keeper.composition.treatment import clearing_of, curing_of, repeating_runs, vault_calls
from keeper.composition.wallet import in_flight_limit, is_operator
from keeper.composition.watching import watch_of, watched
from keeper.composition.wiring import FORMS
from keeper.config import Settings
from keeper.config.hashing import settings_hash
from keeper.domain.errors import ConfigError, EnvironmentFault
from keeper.domain.head import Head
from keeper.domain.plan import Batch
from keeper.domain.restraint import FREE, Restraint
from keeper.domain.units import Address, Gas, MarketKey
from keeper.execution.bump_rehearsal import Rehearse
from keeper.execution.cooling import Cooling
from keeper.execution.everywhere import SendsEverywhere
from keeper.execution.executor import LIQUIDATE_SIGNATURE
from keeper.execution.failpoints import arm
from keeper.execution.fees import FeeOracle
from keeper.execution.idle import Forgetful, NobodySends
from keeper.execution.paper import resume_paper
from keeper.execution.pending import acting_nonces
from keeper.execution.reserving import Subset, no_subset
from keeper.execution.results import plan_outcomes
from keeper.execution.second_look import SecondLook, Simulate
from keeper.execution.send_caps import SendCaps
from keeper.execution.signer import LocalSigner, Mandate
from keeper.execution.submitter import NodeSubmitter
from keeper.execution.tracker import Tracker
from keeper.node import Node
from keeper.notify.alarms import Alarms
from keeper.observe.endpoints import tell_endpoints
from keeper.observe.events import Event
from keeper.observe.supervisor import Supervisor
from keeper.parts import Decide
from keeper.pipeline import Decided, Planner, decided
from keeper.ports import MarketSnapshot, Simulator, Submitter
from keeper.stages.departing import Departures
from keeper.stages.margincalls import MarginCalls
from keeper.stages.open_routes import open_venues
from keeper.stages.waiting import BoundPlans
from keeper.storage.decisions import DecisionJournal
from keeper.storage.inputs import Recorder
from keeper.storage.journal import Journal
from keeper.storage.paper import PaperLedger, tell_totals
from keeper.storage.places import file_of
from keeper.strategy.gas import GasModel
from keeper.version import code_version

LOCAL_CHAINS: Final = frozenset({1337, 31337})
"""Chains of a developer's own machine: a key's past there is nobody's money."""

Emit = Callable[[Event], None]


class Mode(enum.StrEnum):
    """Run mode of the node."""

    LIVE = "live"  # signs and sends
    DRY_RUN = "dry-run"  # everything up to the simulated transaction; no signer exists
    OBSERVE = "observe"  # health only; no plan is made


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Options of `keeper run`. ``blocks`` None means unlimited."""

    mode: Mode = Mode.LIVE
    blocks: int | None = None
    init_journal: bool = False


async def run(
    settings: Settings,
    options: RunOptions,
    emit: Emit,
    *,
    key: bytes | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> None:
    """Follow the chain and act on it until ``options.blocks`` heads are done, or cancelled.

    ``key`` signs a live run. Without it no signer object is created.

    Raises:
        KeeperError: any error that stops a keeper. ``exit_code`` is its kind.
    """
    async with opened(settings) as session:
        await run_session(session, options, emit, key=key, progress=progress)


async def run_session(
    session: Session,
    options: RunOptions,
    emit: Emit,
    *,
    key: bytes | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> None:
    """Run as ``run`` does, over an existing connection."""
    arm(session.settings.chain.id)
    head = await session.reader.head()
    if options.mode is not Mode.OBSERVE:
        await session.refuse_without_code(head)
    # mutation: G32 dry-run-signer
    signer = await _build_signer(session, key, head) if options.mode is Mode.LIVE else None
    async with contextlib.AsyncExitStack() as stack:
        own_clock = session.settings.chain.id in LOCAL_CHAINS
        watching = await stack.enter_async_context(
            watched(session, str(options.mode), own_clock=own_clock)
        )
        emit = emit if watching is None else watching.tapped(emit)
        nodes = list[Node]()
        alarms = Alarms(lambda: (nodes[0].head if nodes else None) or head)
        emit = alarms.tapped(emit)
        tell_endpoints(session.reader.rpc.pool, emit, signing=options.mode is Mode.LIVE)
        parts = await _build_parts(session, options, signer, emit, stack)
        look = await stack.enter_async_context(
            notifying(session.settings.notify, parts.journal.database, emit, alarms)
        )
        if watching is not None:
            watching.attach(parts.submitter, parts.journal)
            watching.outbox = look
        metrics = None if watching is None else watching.metrics
        parts.calls = await stack.enter_async_context(
            calling(session, parts.submitter, parts.journal, emit, metrics, own_clock=own_clock)
        )
        await stack.enter_async_context(session.kept())
        await stack.enter_async_context(racing(session, parts.submitter))
        await session.started(head, progress)
        session.follower.checking.is_deferred = True
        if isinstance(parts.submitter, NodeSubmitter):
            quiet = 0 if own_clock else session.settings.run.quiet_blocks
            await parts.submitter.tracker.listen(quiet)
        node = _build_node(session, options, parts, emit)
        supervisor = Supervisor.of()
        stalling = Stalling(watch=watch_of(watching), supervisor=supervisor)
        node.watch = stalling
        nodes.append(node)
        node.cures = await curing_of(
            session, parts.submitter, emit, parts.journal, parts.calls.learned
        )
        node.clears = await clearing_of(session, parts.submitter, emit)
        node.standing_of = parts.calls.standing_of
        bound = stall_bound(session.settings, own_clock=own_clock)
        stack.callback(supervisor.stopping)
        supervisor.ready()
        await stalling.unless_stalled(node.run(options.blocks), bound)


async def explained(
    session: Session,
    head: Head,
    snapshots: Sequence[MarketSnapshot],
    account: Address,
    *,
    restraint: Restraint = FREE,
    operators: OperatorReads | None = None,
) -> Decided:
    """Plan one account at one block as the node would, without signing anything."""
    fees = await fee_oracle(session, head, saves_requests=True)
    simulators = await simulators_of(session, None, head=head, known=operators)
    planner = await _build_planner(session, simulators, fees)
    return await decided(planner, head, snapshots, only=account, restraint=restraint)


@dataclass(slots=True, kw_only=True)
class _NodeParts:
    """The parts that differ between the modes."""

    submitter: Submitter
    decisions: DecisionJournal | Forgetful
    decide: Decide | None
    journal: Journal
    departures: Departures | None = None
    calls: MarginCalls | None = None


async def _build_parts(
    session: Session,
    options: RunOptions,
    signer: LocalSigner | None,
    emit: Emit,
    stack: contextlib.AsyncExitStack,
) -> _NodeParts:
    if options.mode is Mode.OBSERVE:
        observed = await _open_journal(session, options, signer)
        stack.callback(observed.close)
        return _NodeParts(
            submitter=NobodySends(), decisions=Forgetful(), decide=None, journal=observed
        )
    bound = BoundPlans()
    sender = signer.address if signer else None
    simulators = await simulators_of(session, sender, waiting=bound)
    fees = await fee_oracle(session)
    journal = await _open_journal(session, options, signer)
    stack.callback(journal.close)
    submitter: Submitter
    if signer is None:
        ledger = PaperLedger(journal.database)
        submitter = await resume_paper(ledger, emit)
        stack.push_async_callback(tell_totals, ledger, emit)
    else:
        # What is repeated waits itself: nothing comes before it.
        executors = by_executor(session, await simulators_of(session, sender))
        pending_run, repeats = repeating_runs(session, signer.address, executors)
        submitter = await live_submitter(
            session,
            signer,
            fees,
            journal,
            emit,
            rehearse=pending_run,
            simulate=repeats,
            split=batch_splitter(executors, GasModel()),
            subset=batch_subset(executors, GasModel()),
        )
    planner = replace(await _build_planner(session, simulators, fees), waiting=bound)
    departures = Departures(submitter=submitter)
    if isinstance(submitter, NodeSubmitter):
        bound.acting = partial(acting_nonces, submitter.tracker)
        cooling = submitter.tracker.cooling
        planner = replace(planner, venues=open_venues(planner.venues, cooling.is_barred))
    planner = plan_in_portions(planner, session.settings, departures)
    keep_days = session.settings.record.keep_days
    decisions = DecisionJournal(journal.database, _build_recorder(session, options), keep_days)
    await decisions.start()
    return _NodeParts(
        submitter=submitter,
        decisions=decisions,
        decide=build_decide(planner, submitter),
        journal=journal,
        departures=departures,
    )


def _build_recorder(session: Session, options: RunOptions) -> Recorder:
    """Build the recorder of decision inputs."""
    program = Program(
        chain_id=session.settings.chain.id,
        code=code_version(),
        settings=settings_hash(session.settings),
        mode=str(options.mode),
    )
    return Recorder(program=program, forms=FORMS)


async def live_submitter(
    session: Session,
    signer: LocalSigner,
    fees: FeeOracle,
    journal: Journal,
    emit: Emit,
    *,
    rehearse: Rehearse | None = None,
    simulate: Simulate | None = None,
    split: Callable[[Batch], Sequence[Batch]] = lambda _: (),
    subset: Subset = no_subset,
) -> NodeSubmitter:
    """Build the submitter that signs and sends, after reconciling its earlier nonces."""
    policy, head = session.settings.policy, await session.reader.head()
    chain = Quorum(session.reader)
    submitter = NodeSubmitter(
        signer=signer,
        node=SendsEverywhere(session.reader.rpc),
        tracker=Tracker(
            chain=chain,
            journal=journal,
            sender=signer.address,
            outcomes=plan_outcomes,
            emit=emit,
            confirmations=policy.confirmations,
            untimely=untimely_reason(session.settings),
            cooling=Cooling(blocks=policy.cooldown_blocks),
            second_look=None if simulate is None else SecondLook(chain=chain, simulate=simulate),
        ),
        fees=fees,
        bump_after_blocks=policy.bump_after_blocks,
        rehearse=rehearse,
        limit=partial(in_flight_limit, session.reader, signer.address),
        max_in_flight=await in_flight_limit(session.reader, signer.address, head),
        guard=breakers_of(session.settings, journal, session.reader, signer.address, emit),
        caps=SendCaps(most_gas=Gas(policy.max_transaction_gas), split=split, subset=subset),
    )
    await submitter.reconcile(head)
    return submitter


async def _open_journal(
    session: Session, options: RunOptions, signer: LocalSigner | None
) -> Journal:
    """Open the journal of the key, or of the mode if nothing is signed."""
    settings, path = session.settings, session.settings.journal.path
    if signer is None:
        return Journal.open(file_of(path, options.mode), chain_id=settings.chain.id, sender=None)
    mined = await session.reader.transaction_count(signer.address)
    pending = await fetch_pending_nonce(session.reader, signer.address)
    nothing_waits = pending in (None, mined)
    unused_elsewhere = settings.chain.id in LOCAL_CHAINS and nothing_waits and not path.exists()
    return Journal.open(
        path,
        chain_id=settings.chain.id,
        sender=signer.address,
        chain_nonce=mined,
        init=options.init_journal or unused_elsewhere,
    )


def _build_node(session: Session, options: RunOptions, parts: _NodeParts, emit: Emit) -> Node:
    settings = session.settings
    pace = Pace(poll=settings.chain.poll_interval_ms / 1000)
    return Node(
        heads=Heads(
            session.reader,
            pace=pace,
            trouble=tell_trouble,
            check_seconds=settings.chain.check_seconds,
        ),
        book=session.follower,
        decide=parts.decide,
        submitter=parts.submitter,
        decisions=parts.decisions,
        emit=emit,
        calls=parts.calls,
        departures=parts.departures,
        drain_seconds=settings.run.drain_seconds if options.mode is Mode.LIVE else 0,
    )


async def _build_planner(
    session: Session, simulators: Mapping[MarketKey, Simulator], fees: FeeOracle
) -> Planner:
    settings = session.settings
    next_block = NextBlock(settings=settings, rpc=session.reader.rpc)
    return Planner(
        venues=session.venue_watch.over(session.venues),
        simulators=simulators,
        fees=fees,
        valuer=await session.coin(),
        policy=liquidation_policy(settings, await session.wrapped_native()),
        gas_model=GasModel(),
        deadline_seconds=settings.policy.deadline_seconds,
        next_timestamp=next_block.fetch_timestamp,
        expected_timestamp=next_block.expect_timestamp,
    )


async def _build_signer(session: Session, key: bytes | None, head: Head) -> LocalSigner:
    """Build the hot key's signer after checking that every executor accepts it as operator."""
    if key is None:
        raise ConfigError("a live run needs a key", hint="run with --dry-run, or set a key")
    executors = {session.executor_of(one.key) for one in session.markets}
    mandate = Mandate(
        targets=frozenset(one for one in executors if one is not None),
        selector=selector(LIQUIDATE_SIGNATURE),
        max_fee=fee_policy(session.settings).max_fee,
        others=vault_calls(session.settings),
    )
    signer = LocalSigner(key, session.settings.chain.id, mandate)
    if session.settings.chain.id not in LOCAL_CHAINS:
        for configured in session.settings.executor:
            if configured.address in mandate.targets:
                await refuse_unfit_executor(session.reader, configured, signer.address, head)
    for executor in mandate.targets:
        if await is_operator(session.reader, executor, signer.address, head):
            continue
        raise EnvironmentFault(
            f"the executor {executor} does not take {signer.address} as an operator",
            hint="its owner must call setOperator; check with `keeper executor check`",
        )
    return signer
