"""The executors of the settings, each able to run its transactions without sending them."""

from collections.abc import Mapping

from keeper.composition.session import Session
from keeper.composition.treatment import somebody
from keeper.domain.errors import ConfigError
from keeper.domain.head import Head
from keeper.domain.plan import Plan
from keeper.domain.units import Address, Gas, MarketKey
from keeper.execution.simulator import ExecutorSimulator
from keeper.ports import Simulator


async def simulators_of(
    session: Session,
    operator: Address | None,
    *,
    unsimulated: Simulator | None = None,
    head: Head | None = None,
) -> Mapping[MarketKey, Simulator]:
    """
    Return every deployment's executor, as ``operator`` or else as one that it takes orders from.

    Without a ``head`` the newest block says who that is.

    Deployments with the same executor share it, and so their plans share transactions.
    """
    made: dict[Address | None, Simulator] = {None: unsimulated} if unsimulated else {}
    for executor in (session.executor_of(one.key) for one in session.markets):
        if executor is None and unsimulated is None:
            raise ConfigError(
                "a market has no executor",
                hint="run `keeper executor deploy` and put its address under [[executor]],"
                " or run with --observe",
            )
        if executor is not None and executor not in made:
            sender = operator or await somebody(session, executor, head)
            made[executor] = _executor_simulator(session, executor, sender)
    return {one.key: made[session.executor_of(one.key)] for one in session.markets}


def by_executor(
    session: Session, simulators: Mapping[MarketKey, Simulator]
) -> Mapping[Address, Simulator]:
    """Return the simulators of the deployments by their executors."""
    found = ((session.executor_of(market), one) for market, one in simulators.items())
    return {executor: one for executor, one in found if executor is not None}


def _executor_simulator(session: Session, executor: Address, operator: Address) -> Simulator:
    return ExecutorSimulator(
        session.reader,
        executor=executor,
        operator=operator,
        step_gas=_step_gas,
        builder_share_bps=session.settings.policy.builder_share_bps,
    )


def _step_gas(plan: Plan) -> Gas:
    return plan.step_gas
