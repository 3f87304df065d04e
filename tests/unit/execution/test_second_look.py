"""A market that lies to simulations is told from a lost race, by the state that its block left."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from keeper.domain.errors import RpcUnavailable
from keeper.domain.failure import (
    BEHIND,
    LIED,
    OVERTAKEN,
    TOUCHED,
    UNTOUCHED,
    FailureKind,
    classify_failure,
)
from keeper.domain.plan import SimulatedBatch, SimulatedPlan
from keeper.domain.reads import Log
from keeper.domain.submission import Attempt, AttemptKind, Fees
from keeper.execution import second_look
from keeper.execution.second_look import DRAWS, SecondLook
from keeper.stages.rehearsal import Repeats
from tests.support.scripted_submission import account, head
from tests.unit.execution.test_cooling import HEALTHY, ROUTE, mined

ASSUMED, LANDED = account(70), account(71)
TOO_LITTLE = "BelowMinProfit(1, 2)"


@dataclass
class Receipt:
    transaction_hash: str = "0x1"
    block_hash: str = head(10).hash


class Chain:
    def __init__(self, *traders):
        self.traders = traders

    async def head(self, block=None):
        if block == 9:
            return replace(head(9), miner=ASSUMED)
        assert block == head(10).hash
        return replace(head(10), miner=LANDED)

    async def block_logs(self, wanted, block_hash):
        return [
            Log(
                address=ROUTE.pools[0],
                topics=(),
                data=b"",
                block_number=10,
                block_hash=block_hash,
                transaction_hash=name,
                index=0,
            )
            for name in self.traders
            if ROUTE.pools[0] in wanted.addresses
        ]


class Simulations:
    """Every draw fails but those given."""

    def __init__(self, *works, error=None, failure=HEALTHY, whole=False):
        self.works, self.error, self.heads = works, error, []
        self.failure, self.whole = failure, whole

    async def __call__(self, batches, at):
        self.heads.append(at)
        if self.error:
            raise self.error
        failure = "" if len(self.heads) in self.works else self.failure
        if failure and self.whole:
            return [SimulatedBatch(plans=(), gas_used=1, failure=f"nothing worked: {failure}")]
        plans = tuple(SimulatedPlan(profit=1, failure=failure) for _ in batches[0].plans)
        return [SimulatedBatch(plans=plans, gas_used=1)]


def failed(failure):
    attempt = Attempt(
        nonce=0,
        kind=AttemptKind.SEND,
        hash="0x1",
        raw=b"",
        fees=Fees(max_fee=1, priority_fee=1),
        gas_limit=1,
        to=account(1),
        calldata=b"",
        block_number=9,
    )
    return replace(mined(failure, 10, route=ROUTE), attempts=(attempt,))


async def judged(failure, simulate, *traders):
    submission = failed(failure)
    look = SecondLook(chain=Chain(*traders), simulate=simulate)
    (outcome,) = await look.judge(submission, submission.inclusion.plans, Receipt())
    return outcome.failure


@pytest.mark.parametrize("failure", [HEALTHY + UNTOUCHED, TOO_LITTLE])
async def test_what_works_on_the_state_that_its_block_left_is_a_lie(failure):
    """One draw of eight suffices; each has the coinbase that was assumed at the signature."""
    simulate = Simulations(DRAWS)

    told = await judged(failure, simulate, "0x1")

    assert told == failure.removesuffix(UNTOUCHED) + LIED
    assert classify_failure(told) is FailureKind.DEFECT
    assert [(one.number, one.miner) for one in simulate.heads] == [(10, ASSUMED)] * DRAWS


@pytest.mark.parametrize("failure", [HEALTHY + UNTOUCHED, TOO_LITTLE])
async def test_what_fails_in_every_simulation_stays_a_race(failure):
    """A price that moved has moved for all of them."""
    assert await judged(failure, Simulations()) == failure


@pytest.mark.parametrize("failure", [HEALTHY, "DeadlinePassed(1, 2)", "", "Panic(17)" + LIED])
async def test_what_others_caused_is_not_looked_at_again(failure):
    """An account that was touched, a deadline, a success, and what was looked at already."""
    simulate = Simulations(*range(1, DRAWS + 1))

    assert await judged(failure, simulate) == failure
    assert simulate.heads == []


async def test_a_sale_in_pools_that_others_traded_in_is_not_looked_at_again():
    """A sandwich leaves the pool as it was: every simulation would work after it."""
    simulate = Simulations(*range(1, DRAWS + 1))

    assert await judged(TOO_LITTLE, simulate, "0x1", "0xother") == TOO_LITTLE


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ("Panic(17)", "Panic(17)"),
        ("Panic(17)" + TOUCHED, "Panic(17)"),
        ("ERC20: transfer amount exceeds balance", "ERC20: transfer amount exceeds balance"),
        ("TooMuch(5, 6)", "TooMuch(7, 8)"),
        ("the whole transaction reverted: nothing worked: Panic(17)", "Panic(17)"),
    ],
)
async def test_what_fails_alike_on_the_state_that_its_block_left_is_no_defect(failure, told, whole):
    """A price moved before it: more collateral is asked for than it leaves, say."""
    found = await judged(failure, Simulations(failure=told, whole=whole))

    assert found == failure + OVERTAKEN
    assert classify_failure(found) is FailureKind.MOVED


@pytest.mark.parametrize(
    "simulate",
    [
        Simulations(*range(1, DRAWS + 1)),
        Simulations(DRAWS, failure="Panic(17)"),
        Simulations(failure=HEALTHY),
        Simulations(failure="NotEnoughGas(1, 2)"),
        Simulations(error=RpcUnavailable("gone")),
        Repeats(simulators={}),
    ],
    ids=["works", "works once", "fails otherwise", "lacks gas", "no answer", "another executor's"],
)
async def test_a_defect_stays_one_unless_every_simulation_fails_alike(simulate):
    """One that works once can tell simulations from the chain, or needs luck.

    Where the settings do not name its executor any more, nothing is known and nothing breaks.
    """
    found = await judged("Panic(17)", simulate)

    assert found == "Panic(17)"
    assert classify_failure(found) is FailureKind.DEFECT


@pytest.mark.parametrize(
    "failure",
    [
        "NotOperator(0x00)",
        "IsPaused()",
        "NotEnoughGas(5, 4)",
        "the whole transaction reverted: NotOperator(0x00)",
    ],
)
async def test_what_our_own_contract_refuses_is_a_defect_although_it_is_refused_again(failure):
    """No price moved: a role was taken away, or the call was wrong, and the next one fails, too."""
    found = await judged(failure, Simulations(failure=failure.rpartition(": ")[2], whole=True))

    assert found == failure
    assert classify_failure(found) is FailureKind.DEFECT


async def judged_rounds(failure, simulate):
    """Judge a transaction in which an account's first round worked and its second one failed."""
    submission = failed(failure)
    (plan,), (outcome,) = submission.batch.plans, submission.inclusion.plans
    both = replace(submission, batch=replace(submission.batch, plans=(plan, plan)))
    outcomes = (replace(outcome, failure=""), outcome)
    look = SecondLook(chain=Chain("0x1"), simulate=simulate)
    first, second = await look.judge(both, outcomes, Receipt())
    assert first == outcomes[0]
    return second.failure


@pytest.mark.parametrize("failure", [HEALTHY + UNTOUCHED, TOO_LITTLE])
async def test_a_further_round_is_no_lie_where_its_first_round_would_work_again(failure):
    """The state after the block is that of the second round: the first one's call may fit it."""
    assert await judged_rounds(failure, Simulations(*range(1, DRAWS + 1))) == failure


async def test_a_further_round_that_fails_is_no_defect():
    """The first one worked on chain: market and route are as they were in the simulation."""
    found = await judged_rounds("Panic(17)", Simulations(*range(1, DRAWS + 1)))

    assert found == "Panic(17)" + BEHIND
    assert classify_failure(found) is FailureKind.MOVED


async def test_plans_are_told_apart_by_their_places():
    """One account fails twice: what its second simulation says is no word on the first."""
    submission = failed("Panic(17)")
    (plan,), (outcome,) = submission.batch.plans, submission.inclusion.plans
    both = replace(submission, batch=replace(submission.batch, plans=(plan, plan)))

    async def simulate(batches, at):
        told = (SimulatedPlan(profit=0, failure="Panic(17)"), SimulatedPlan(profit=1))
        return [SimulatedBatch(plans=told, gas_used=1)]

    look = SecondLook(chain=Chain("0x1"), simulate=simulate)
    first, second = await look.judge(both, (outcome, outcome), Receipt())

    assert (first.failure, second.failure) == ("Panic(17)" + OVERTAKEN, "Panic(17)")


async def test_a_node_that_does_not_answer_convicts_nobody(monkeypatch):
    """What is mined is noted in any case, and soon."""
    monkeypatch.setattr(second_look, "LOOK_SECONDS", 0.01)

    async def hang(batches, at):
        await asyncio.sleep(60)

    for simulate in (Simulations(error=RpcUnavailable("gone")), hang):
        assert await judged(HEALTHY + UNTOUCHED, simulate) == HEALTHY + UNTOUCHED
