"""Who is left alone after a failure on chain: an account, an isolated market, a route."""

from dataclasses import replace

import pytest

from keeper.domain.curve import Hop, Route
from keeper.domain.failure import TOUCHED, UNTOUCHED, FailureKind, classify_failure
from keeper.domain.reads import Log
from keeper.domain.submission import Inclusion, NonceState, PlanOutcome, Submission
from keeper.execution.cooling import MARKET_TIMES, Cooling
from keeper.execution.results import with_touches
from keeper.stages.resting import Rested
from tests.flow.scripted_market import ScriptedSnapshot, pair
from tests.flow.scripted_market import account as market_account
from tests.support.scripted_submission import MARKET, account, batch, head, plan

SHARED = MARKET
ISOLATED = [f"morpho_blue:0x{'5' * 40}:0x{number:064x}" for number in range(6)]
LIE, HEALTHY = "Error(trap)", "NotLiquidatable(0x1)"
ROUTE = Route(
    venue="uniswap_v3",
    factory=account(1),
    hops=(Hop(pool=account(2), token_in=account(3), token_out=account(4), fee=500),),
)
BLOCKS = 3


def mined(failure, block, market=SHARED, index=0, **changes):
    one = plan(index, market=market, **changes)
    outcome = PlanOutcome(
        market=market,
        account=one.account,
        token=one.spend_token,
        profit=0,
        profit_wei=0,
        failure=failure,
    )
    inclusion = Inclusion(
        hash="0x1",
        block_number=block,
        block_hash=head(block).hash,
        success=not failure,
        gas_used=1,
        effective_gas_price=1,
        plans=(outcome,),
    )
    return Submission(
        nonce=0, batch=batch(one), attempts=(), state=NonceState.INCLUDED, inclusion=inclusion
    )


def test_six_lying_markets_are_each_put_aside_at_once_and_nothing_else():
    """What one of them costs is one revert; the shared market's accounts go on."""
    cooling = Cooling(blocks=BLOCKS)
    for number, market in enumerate(ISOLATED):
        cooling.note(mined(LIE, 10 + number, market, number))

    waits = cooling.market_waits(head(16))

    assert set(waits) == set(ISOLATED)
    assert waits[ISOLATED[0]].until_block == 10 + BLOCKS * MARKET_TIMES
    assert {market for market, _ in cooling.waits(head(16))} <= set(ISOLATED)
    assert cooling.market_waits(head(16 + BLOCKS * MARKET_TIMES)) == {}


def test_an_isolated_market_comes_back_and_waits_twice_as_long_if_it_fails_again():
    """Time is the way back, and what works there ends the row."""
    cooling, market = Cooling(blocks=BLOCKS), ISOLATED[0]
    back = 10 + BLOCKS * MARKET_TIMES
    cooling.note(mined(LIE, 10, market))
    cooling.note(mined(LIE, back, market))

    assert cooling.market_waits(head(back + 2 * BLOCKS * MARKET_TIMES - 1))
    cooling.note(mined("", back + 1, market))
    assert cooling.market_waits(head(back + 1)) == {}


def test_a_defect_of_an_account_that_others_touched_is_not_its_markets():
    """Anybody can repay a unit in front of us; that must not put an honest market aside."""
    cooling = Cooling(blocks=BLOCKS)
    cooling.note(mined("Panic(17)" + TOUCHED, 10, ISOLATED[0]))

    assert cooling.market_waits(head(11)) == {}
    assert [who for _, who in cooling.waits(head(11))] == [account(0)]


def test_in_a_shared_market_the_route_waits_with_the_account():
    """The next account takes another route; an isolated market bars nobody's pool."""
    cooling = Cooling(blocks=BLOCKS)
    cooling.note(mined(LIE, 10, ISOLATED[0], route=ROUTE))
    cooling.waits(head(11))
    isolated = cooling.is_barred(ROUTE)
    cooling.note(mined(LIE, 10, route=ROUTE))
    cooling.waits(head(11))
    shared = cooling.is_barred(ROUTE)
    cooling.waits(head(10 + BLOCKS))

    assert (isolated, shared, cooling.is_barred(ROUTE)) == (False, True, False)
    assert SHARED not in cooling.market_waits(head(11))


@pytest.mark.parametrize(("failure", "doubted"), [(HEALTHY + UNTOUCHED, True), (HEALTHY, False)])
def test_a_race_that_nobody_won_is_doubted_at_its_own_block_alone(failure, doubted):
    """At a later block the price may be another."""
    cooling = Cooling(blocks=BLOCKS)
    cooling.note(mined(failure, 10, ISOLATED[0]))

    assert cooling.waits(head(10)) == {}
    assert bool(cooling.doubted(head(10))) is doubted
    assert cooling.doubted(head(11)) == []


@pytest.mark.parametrize("lies", [True, False])
async def test_a_market_that_calls_liquidatable_what_it_called_healthy_is_put_aside(lies):
    """One word for reads, another for transactions; a price that came back is no lie."""
    cooling, market, number = Cooling(blocks=BLOCKS), ISOLATED[0], 0x2000
    who = market_account(number)
    failed = mined(HEALTHY + UNTOUCHED, 10, market)
    (outcome,) = failed.inclusion.plans
    told = replace(failed.inclusion, plans=(replace(outcome, account=who),))
    cooling.note(replace(failed, inclusion=told))

    class Snapshot(ScriptedSnapshot):
        def account(self, whose):
            return next((one for one in self.accounts() if one.account == whose), None)

    async def decide(head, snapshots, in_flight, *, restraint):
        return restraint

    snapshot = Snapshot((pair(number),) if lies else (), market=market)
    restraint = await Rested(decide=decide, cooling=cooling)(head(10), [snapshot])

    assert ((market, who) in restraint.waits) is lies
    assert (market in cooling.market_waits(head(11))) is lies


class _Chain:
    def __init__(self, *accounts):
        self.logs = [
            Log(
                address=account(50),
                topics=(b"\x00" * 32, bytes(12) + bytes.fromhex(one[2:])),
                data=b"",
                block_number=10,
                block_hash=head(10).hash,
                transaction_hash=name,
                index=0,
            )
            for one, name in accounts
        ]

    async def block_logs(self, wanted, block_hash):
        return self.logs


class _Receipt:
    transaction_hash, block_hash = "0xmine", head(10).hash


@pytest.mark.parametrize(
    ("failure", "logs", "told"),
    [
        (HEALTHY, [], HEALTHY + UNTOUCHED),
        (HEALTHY, [(account(0), "0xother")], HEALTHY),
        (HEALTHY, [(account(0), "0xmine")], HEALTHY + UNTOUCHED),
        (HEALTHY, [(account(1), "0xother")], HEALTHY + UNTOUCHED),
        (LIE, [], LIE),
        (LIE, [(account(0), "0xother")], LIE + TOUCHED),
        ("BelowMinProfit(1, 2)", [], "BelowMinProfit(1, 2)"),
        ("", [], ""),
    ],
)
async def test_the_blocks_logs_say_whether_others_acted_on_an_account(failure, logs, told):
    """The kind of failure stays what the reason says."""
    plans = mined(failure, 10).inclusion.plans

    (found,) = await with_touches(_Chain(*logs), plans, _Receipt())

    assert found.failure == told
    if failure:
        assert classify_failure(told) is classify_failure(failure)
    assert classify_failure("45" + UNTOUCHED) is FailureKind.RACE
