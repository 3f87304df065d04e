"""Builds the simulators of the settings' executors."""

import contextlib
from collections.abc import Callable, Mapping, Sequence

from keeper.composition.operators import OperatorReads
from keeper.composition.session import Session
from keeper.composition.timing import block_seconds
from keeper.composition.treatment import somebody
from keeper.domain.errors import ConfigError, KeeperError
from keeper.domain.head import Head
from keeper.domain.plan import Plan
from keeper.domain.submission import Submission
from keeper.domain.units import Address, Gas, MarketKey
from keeper.execution.made_up import EXECUTOR, OPERATOR, MadeUpSimulator, OverlaidChain, Setup
from keeper.execution.simulator import ExecutorSimulator
from keeper.ports import ExecutorTargets, Simulator, TargetsExecutor


async def simulators_of(
    session: Session,
    operator: Address | None,
    *,
    head: Head | None = None,
    known: OperatorReads | None = None,
    waiting: Callable[[], Sequence[Submission]] = tuple,
) -> Mapping[MarketKey, Simulator]:
    """Build each deployment's simulator, sent by ``operator`` or one of its operators.

    Without a ``head`` the newest block decides. A market without an executor gets one that is
    deployed nowhere, unless an ``operator`` is given for sending. Deployments with the same
    executor share it, and so their plans share transactions. ``waiting`` are the operator's pending
    transactions. Operators in ``known`` are not read again.

    Raises:
        ConfigError: there is an operator, and a market has no executor.
    """
    made: dict[Address | None, Simulator] = (
        {None: _build_overlay_simulator(session)} if operator is None else {}
    )
    for executor in (session.executor_of(one.key) for one in session.markets):
        if executor is None and operator is not None:
            raise ConfigError(
                "a market has no executor",
                hint="run `keeper executor deploy` and put its address under [[executor]],"
                " or run with --dry-run, which needs none",
            )
        if executor is not None and executor not in made:
            if known is not None and head is not None and known.is_operator(executor, head):
                sender = known.account
            else:
                sender = operator or await somebody(session, executor, head)
            made[executor] = _build_executor_simulator(session, executor, sender, waiting)
    return {one.key: made[session.executor_of(one.key)] for one in session.markets}


def by_executor(
    session: Session, simulators: Mapping[MarketKey, Simulator]
) -> Mapping[Address, Simulator]:
    """Return the deployments' simulators by executor."""
    found = ((session.executor_of(market), one) for market, one in simulators.items())
    return {executor: one for executor, one in found if executor is not None}


def _build_executor_simulator(
    session: Session,
    executor: Address,
    operator: Address,
    waiting: Callable[[], Sequence[Submission]],
) -> Simulator:
    return ExecutorSimulator(
        session.reader,
        executor=executor,
        operator=operator,
        step_gas=_get_step_gas,
        builder_share_bps=session.settings.policy.builder_share_bps,
        block_seconds=block_seconds(session.settings),
        waiting=waiting,
    )


def _build_overlay_simulator(session: Session) -> Simulator:
    """Build an executor that is deployed nowhere, set up from the settings."""
    chain = OverlaidChain(session.reader)
    wrapped = list[Address]()

    async def describe() -> Setup:
        if not wrapped:
            coin = await session.wrapped_native()
            if coin is None:
                raise ConfigError("no venue says what the wrapped coin is")
            wrapped.append(coin)
        return Setup(
            targets=_collect_targets(session),
            wrapped=wrapped[0],
            builder_share_bps=session.settings.policy.builder_share_bps,
        )

    return MadeUpSimulator(
        chain=chain,
        inner=ExecutorSimulator(
            chain,
            executor=EXECUTOR,
            operator=OPERATOR,
            step_gas=_get_step_gas,
            builder_share_bps=session.settings.policy.builder_share_bps,
            block_seconds=block_seconds(session.settings),
        ),
        describe=describe,
    )


def _collect_targets(session: Session) -> ExecutorTargets:
    """Collect the addresses that an executor must be allowed to use, for readable markets."""
    lenders, factories = dict[Address, None](), dict[Address, None]()
    for adapter in (*session.markets, *session.venues):
        if isinstance(adapter, TargetsExecutor):
            with contextlib.suppress(KeeperError):
                targets = adapter.executor_targets()
                lenders.update(dict.fromkeys(targets.lenders))
                factories.update(dict.fromkeys(targets.factories))
    return ExecutorTargets(lenders=tuple(lenders), factories=tuple(factories))


def _get_step_gas(plan: Plan) -> Gas:
    return plan.step_gas
