"""After simulation: the transaction's own gas and profits, shared out without a remainder lost."""

from hypothesis import given
from hypothesis import strategies as st

from keeper.domain.plan import Batch, SimulatedBatch, SimulatedPlan
from keeper.strategy.ranking import sequenced
from keeper.strategy.settled import settled
from tests.unit.strategy.market import (
    COSTS,
    GAS,
    POLICY,
    USD,
    Pair,
    address,
    candidate,
    exits,
    route,
    weth_pool,
)


def a_batch(accounts=3):
    pool = weth_pool(10**9)
    pairs = [Pair(address(number), 10_000 * USD) for number in range(1, accounts + 1)]
    decisions = sequenced(
        [candidate(one) for one in pairs],
        exits(route(pool), pools=(pool,)),
        {},
        costs=COSTS,
        policy=POLICY,
        gas_model=GAS,
    )
    plans = tuple(one.plan for one in decisions)
    return Batch(
        plans=plans,
        executor="0x" + "e" * 40,
        calldata=b"\x01",
        gas_limit=10**7,
        deadline=1,
        net_profit=sum(plan.net_profit for plan in plans),
    )


@given(gas=st.integers(21_000, 2**24))
def test_no_gas_goes_unpaid(gas):
    """The plans together are charged at least what the transaction used."""
    batch = a_batch()
    answer = SimulatedBatch(
        plans=tuple(SimulatedPlan(profit=plan.gross_profit) for plan in batch.plans), gas_used=gas
    )

    after = settled(batch, answer)

    charged = sum(plan.gas for plan in after.plans)
    assert gas <= charged < gas + len(after.plans)
    assert after.calldata == batch.calldata


def test_a_smaller_profit_is_worth_less_at_the_same_price():
    """What the executor would really have sent is what the plan is judged by."""
    batch = a_batch(1)
    plan = batch.plans[0]
    half = SimulatedBatch(plans=(SimulatedPlan(profit=plan.gross_profit // 2),), gas_used=plan.gas)

    after = settled(batch, half).plans[0]

    assert (
        after.gross_profit_wei
        == plan.gross_profit // 2 * plan.gross_profit_wei // plan.gross_profit
    )
    assert after.net_profit == after.gross_profit_wei - plan.gas * plan.gas_price
    assert after.min_profit == plan.min_profit
