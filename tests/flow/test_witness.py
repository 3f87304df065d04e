"""Deciding beside a witness: what comes out is the same, and what went in is written down."""

from dataclasses import dataclass

import pytest

from keeper.domain.decision import SkipReason
from keeper.domain.errors import RpcRefused
from keeper.domain.plan import DataFee
from keeper.domain.restraint import Restraint, Wait
from keeper.pipeline import decided
from keeper.stages.witness import witnessed
from tests.flow.scripted_market import (
    DEEP,
    HEAD,
    MARKET,
    Desk,
    ScriptedExecutor,
    ScriptedFees,
    ScriptedSnapshot,
    ScriptedVenue,
    account,
    pair,
)

CROWD = ScriptedSnapshot((pair(1), pair(2), pair(3, 2), pair(4)))


@dataclass
class ChargingFees(ScriptedFees):
    """A chain that takes a fee for a transaction's data."""

    async def data_fees(self, batches, head):
        return [DataFee(fee=10**12 * len(batch.calldata), gas=21_000) for batch in batches]


def failing(plan):
    return "reverted" if plan.account == account(2) else ""


DESKS = {
    "plain": Desk,
    "data is charged for": lambda: Desk(fees=ChargingFees()),
    "a plan fails": lambda: Desk(executors={MARKET: ScriptedExecutor(fails=failing)}),
    "a venue does not answer": lambda: Desk(
        venues=[ScriptedVenue(RpcRefused("no")), ScriptedVenue(DEEP)]
    ),
}


@pytest.mark.parametrize("name", DESKS)
async def test_a_witness_changes_nothing(name):
    """Whatever the ports can do, they still can: a hidden ability would decide otherwise."""
    restraint = Restraint(
        waits={(MARKET, account(4)): Wait(reason=SkipReason.POLICY_GRACE, detail="later")}
    )
    in_flight = frozenset({(MARKET, account(1))}) if name == "plain" else frozenset()

    alone = await decided(DESKS[name]().planner(), HEAD, [CROWD], in_flight, restraint=restraint)
    beside = await witnessed(DESKS[name]().planner(), HEAD, [CROWD], in_flight, restraint=restraint)

    assert (beside.decisions, beside.batches) == (alone.decisions, alone.batches)
    assert beside.health == alone.health
    assert alone.inputs is None


async def test_everything_that_was_told_is_written_down():
    """In the order of asking; also that a venue did not answer."""
    desk = Desk(fees=ChargingFees(), venues=[ScriptedVenue(RpcRefused("no")), ScriptedVenue(DEEP)])

    result = await witnessed(desk.planner(), HEAD, [CROWD])

    told = result.inputs
    assert (told.gas_floor, told.gas_price) == (desk.fees.price // 2, desk.fees.price)
    assert told.next_timestamp == HEAD.timestamp + 12
    assert [(at, one.exits) for at, one in sorted(told.venues.items())] == [(0, None), (1, DEEP)]
    assert len(told.data_fees) == len(told.simulations) == 1
    assert told.planned == {(MARKET, account(n)) for n in (1, 2, 4)}
    assert told.native[MARKET].usd_per_base == (1, 1)
    assert told.executors == {MARKET: 0}


async def test_a_quiet_block_asks_a_witness_nothing():
    """Nobody is past the line: nothing was told, so nothing is written down."""
    desk = Desk()

    told = (await witnessed(desk.planner(), HEAD, [ScriptedSnapshot()])).inputs

    assert desk.quiet
    assert (told.gas_floor, told.native, told.venues, told.simulations) == (None, {}, {}, [])
