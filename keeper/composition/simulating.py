"""The executors of the settings, each able to run its transactions without sending them."""

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
    """
    Return every deployment's executor, as ``operator`` or else as one that it takes orders from.

    Without a ``head`` the newest block says who that is. A market without an executor has one that
    is deployed nowhere, unless an ``operator`` means to send.

    Deployments with the same executor share it, and so their plans share transactions.
    ``waiting`` are the operator's transactions that no block has yet; what is ``known`` of
    operators is not asked again.

    Raises:
        ConfigError: there is an operator, and a market has no executor.
    """
    made: dict[Address | None, Simulator] = {None: _made_up(session)} if operator is None else {}
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
            made[executor] = _executor_simulator(session, executor, sender, waiting)
    return {one.key: made[session.executor_of(one.key)] for one in session.markets}


def by_executor(
    session: Session, simulators: Mapping[MarketKey, Simulator]
) -> Mapping[Address, Simulator]:
    """Return the simulators of the deployments by their executors."""
    found = ((session.executor_of(market), one) for market, one in simulators.items())
    return {executor: one for executor, one in found if executor is not None}


def _executor_simulator(
    session: Session,
    executor: Address,
    operator: Address,
    waiting: Callable[[], Sequence[Submission]],
) -> Simulator:
    return ExecutorSimulator(
        session.reader,
        executor=executor,
        operator=operator,
        step_gas=_step_gas,
        builder_share_bps=session.settings.policy.builder_share_bps,
        block_seconds=block_seconds(session.settings),
        waiting=waiting,
    )


def _made_up(session: Session) -> Simulator:
    """Return an executor that is deployed nowhere, made with what the settings need."""
    chain = OverlaidChain(session.reader)
    wrapped = list[Address]()

    async def describe() -> Setup:
        if not wrapped:
            coin = await session.wrapped_native()
            if coin is None:
                raise ConfigError("no venue says what the wrapped coin is")
            wrapped.append(coin)
        return Setup(
            targets=_targets(session),
            wrapped=wrapped[0],
            builder_share_bps=session.settings.policy.builder_share_bps,
        )

    return MadeUpSimulator(
        chain=chain,
        inner=ExecutorSimulator(
            chain,
            executor=EXECUTOR,
            operator=OPERATOR,
            step_gas=_step_gas,
            builder_share_bps=session.settings.policy.builder_share_bps,
            block_seconds=block_seconds(session.settings),
        ),
        describe=describe,
    )


def _targets(session: Session) -> ExecutorTargets:
    """Return what an executor must be allowed to use for the markets that could be read."""
    lenders, factories = dict[Address, None](), dict[Address, None]()
    for adapter in (*session.markets, *session.venues):
        if isinstance(adapter, TargetsExecutor):
            with contextlib.suppress(KeeperError):
                targets = adapter.executor_targets()
                lenders.update(dict.fromkeys(targets.lenders))
                factories.update(dict.fromkeys(targets.factories))
    return ExecutorTargets(lenders=tuple(lenders), factories=tuple(factories))


def _step_gas(plan: Plan) -> Gas:
    return plan.step_gas
