"""Deciding while transactions of ours wait: what they will take is not there any more."""

from dataclasses import replace

import pytest

from keeper.audit.canonical import plain, restored
from keeper.audit.inputs import Inputs
from keeper.domain.opportunity import LiquidityKey, Window
from keeper.domain.pending import PendingSale
from keeper.domain.submission import Attempt, AttemptKind, AttemptState, Fees, Submission
from keeper.execution.pending import acting_nonces, pending_calls
from keeper.pipeline import decided
from keeper.stages.waiting import BoundPlans
from keeper.stages.witness import witnessed
from keeper.strategy.pending import less_pending
from keeper.strategy.policy import Policy
from keeper.strategy.remaining import Remaining
from tests.flow.scripted_market import HEAD, Desk, ScriptedSnapshot, ScriptedVenue, account, pair
from tests.unit.strategy.market import WETH, exits, route, weth_pool
from tests.unit.strategy.test_rounds import chain

POOL = weth_pool(20_000_000)
VENUE = ScriptedVenue(exits(route(POOL), pools=(POOL,)))
KEY = LiquidityKey(holder=account(77), token=WETH)


class Snapshot(ScriptedSnapshot):
    """A scripted market that knows its accounts one by one."""

    def account(self, whose):
        return next((one for one in self.accounts() if one.account == whose), None)


def bound(batch, nonce=0, kind=AttemptKind.SEND, **changes):
    attempt = Attempt(
        nonce=nonce,
        kind=kind,
        hash="0x" + f"{nonce:064x}",
        raw=b"",
        fees=Fees(max_fee=1, priority_fee=1),
        gas_limit=batch.gas_limit,
        to=batch.executor,
        calldata=batch.calldata,
        block_number=HEAD.number,
        **changes,
    )
    return Submission(nonce=nonce, batch=batch, attempts=(attempt,))


def plans_of(result):
    return {plan.account: plan for batch in result.batches for plan in batch.plans}


async def test_an_account_is_sized_as_if_what_waits_had_landed():
    """It comes out as it does where both are planned at once: the second one on what is left."""
    crowd = Snapshot((pair(1, 50_000), pair(2, 49_000)))
    together = await Desk(venues=[VENUE]).decide(crowd)
    first = plans_of(together)[account(1)]
    waiting = BoundPlans(acting=lambda: [bound(replace(together.batches[0], plans=(first,)))])
    taken = {(first.market, first.account)}

    before = await decided(Desk(venues=[VENUE]).planner(), HEAD, [crowd], frozenset(taken))
    after = await decided(
        Desk(venues=[VENUE]).planner(waiting=waiting), HEAD, [crowd], frozenset(taken)
    )

    expected = plans_of(together)[account(2)]
    assert plans_of(after)[account(2)].gross_profit == expected.gross_profit
    assert plans_of(before)[account(2)].gross_profit > expected.gross_profit


async def test_what_waits_is_written_down_with_the_rest():
    """Deciding again from the record needs it; a record of an earlier version has none."""
    crowd = Snapshot((pair(1, 50_000), pair(2, 49_000)))
    first = await Desk(venues=[VENUE]).decide(crowd)
    waiting = BoundPlans(acting=lambda: [bound(first.batches[0])])
    beside = Desk(venues=[VENUE]).planner(waiting=waiting)

    result = await witnessed(beside, HEAD, [Snapshot((*crowd.pairs, pair(3)))])

    told = result.inputs
    assert [one.received for one in told.pending] == [
        plan.receive for plan in first.batches[0].plans
    ]
    assert restored(tuple[PendingSale, ...], plain(told.pending)) == told.pending
    assert (
        Inputs(
            policy=told.policy, gas_model=told.gas_model, deadline_seconds=1, in_flight=frozenset()
        ).pending
        == ()
    )


@pytest.mark.parametrize("bought", [0, 10_000 * 10**6])
def test_pools_and_holders_are_left_as_a_sale_leaves_them(bought):
    """A flash swap buys first and sells the rest; either way the price is one for both."""
    start = Remaining(curves={POOL.pool: POOL}, liquidity={KEY: 10**20})
    sale = PendingSale(
        route=route(POOL), received=25 * 10**18, bought=bought, drawn=((KEY, 7),), repaid=()
    )

    after = less_pending(start, [sale, sale])

    reserves = after.curves[POOL.pool].reserves
    assert reserves[0] == POOL.reserves[0] + 2 * sale.received
    assert after.payable(KEY) == 10**20 - 14
    paid = LiquidityKey(holder=POOL.pool, token=POOL.tokens[1])
    assert after.taken[paid] == POOL.reserves[1] - reserves[1]


def test_a_sale_that_its_pools_do_not_take_moves_no_curve():
    """Nor does one whose pool nobody asked for."""
    unknown = PendingSale(route=route(weth_pool(10, number=5)), received=1, bought=0)
    too_much = PendingSale(route=route(POOL), received=1, bought=10**30)
    start = Remaining(curves={POOL.pool: POOL}, liquidity={})

    assert less_pending(start, [unknown, too_much]) == start


class _Nonces:
    def __init__(self, *submissions, consumed=()):
        self._bound, self.consumed = submissions, frozenset(consumed)

    def bound(self):
        return list(self._bound)


async def test_only_what_acts_and_waits_is_run_first():
    """No cancellation, nothing that nodes refused for good, nothing that a block has already."""
    result = await Desk(venues=[VENUE]).decide(Snapshot((pair(1, 50_000),)))
    (batch,) = result.batches
    tracker = _Nonces(
        bound(batch, 0),
        bound(batch, 1),
        bound(batch, 2, AttemptKind.CANCEL),
        bound(batch, 3, state=AttemptState.RELEASED),
        bound(batch, 4),
        consumed={0},
    )

    acting = acting_nonces(tracker)
    calls = pending_calls(acting, account(9), HEAD)

    assert [one.nonce for one in acting] == [1, 4]
    assert [call["to"] for call in calls] == [batch.executor] * 2
    assert all(int(call["maxFeePerGas"], 16) > HEAD.base_fee for call in calls)


async def test_rounds_that_wait_take_what_each_takes_after_the_ones_before():
    """The second one's amount is asked of the account as the first one leaves it."""
    crowd = Snapshot((*chain(account(1), 50_000, 30_000), pair(2, 49_000)))
    desk = Desk(venues=[VENUE], policy=Policy(rounds=2))
    plans = [plan for one in (await desk.decide(crowd)).batches for plan in one.plans]
    waiting = BoundPlans(acting=lambda: [bound(batch) for batch in together.batches])
    together = await desk.decide(crowd)

    sales = waiting.sales([crowd], Window(earliest=HEAD.timestamp + 1, deadline=HEAD.timestamp + 9))

    assert [plan.account for plan in plans] == [account(1), account(2), account(1)]
    assert [sale.received for sale in sales] == [plan.receive for plan in plans]
