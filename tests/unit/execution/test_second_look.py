"""A market that lies to simulations is told from a lost race, by the state that its block left."""

import asyncio
from dataclasses import dataclass, replace

import pytest

from keeper.domain.errors import RpcUnavailable
from keeper.domain.failure import LIED, UNTOUCHED, FailureKind, classify_failure
from keeper.domain.plan import SimulatedBatch, SimulatedPlan
from keeper.domain.reads import Log
from keeper.domain.submission import Attempt, AttemptKind, Fees
from keeper.execution import second_look
from keeper.execution.second_look import DRAWS, SecondLook
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

    def __init__(self, *works, error=None):
        self.works, self.error, self.heads = works, error, []

    async def __call__(self, batches, at):
        self.heads.append(at)
        if self.error:
            raise self.error
        failure = "" if len(self.heads) in self.works else HEALTHY
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


@pytest.mark.parametrize("failure", [HEALTHY, "DeadlinePassed(1, 2)", "Panic(17)", ""])
async def test_what_others_caused_is_not_looked_at_again(failure):
    """An account that was touched, a deadline, what is a defect already, and a success."""
    simulate = Simulations(*range(1, DRAWS + 1))

    assert await judged(failure, simulate) == failure
    assert simulate.heads == []


async def test_a_sale_in_pools_that_others_traded_in_is_not_looked_at_again():
    """A sandwich leaves the pool as it was: every simulation would work after it."""
    simulate = Simulations(*range(1, DRAWS + 1))

    assert await judged(TOO_LITTLE, simulate, "0x1", "0xother") == TOO_LITTLE


async def test_a_node_that_does_not_answer_convicts_nobody(monkeypatch):
    """What is mined is noted in any case, and soon."""
    monkeypatch.setattr(second_look, "LOOK_SECONDS", 0.01)

    async def hang(batches, at):
        await asyncio.sleep(60)

    for simulate in (Simulations(error=RpcUnavailable("gone")), hang):
        assert await judged(HEALTHY + UNTOUCHED, simulate) == HEALTHY + UNTOUCHED
