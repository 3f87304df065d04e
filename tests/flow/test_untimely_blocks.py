"""Blocks of another time than this machine's: nothing is signed upon them, no deadline follows."""

from dataclasses import replace
from pathlib import Path

import pytest

from keeper.composition.timing import bound_timestamp, untimely_reason
from keeper.config import load
from keeper.domain.breaker import Breaker
from keeper.domain.errors import NotBroadcast
from keeper.domain.submission import AttemptKind
from tests.support.scripted_submission import World, batch, head, healthy, plan, unhealthy
from tests.unit.execution.test_limits_guard import WORST, Limited

EXAMPLE = Path(__file__).resolve().parents[2] / "keeper.example.toml"
NOW = head(10).timestamp
PATIENCE = 3 * 12 + 60
"""Three blocks of twelve seconds, and a minute."""


def settings(chain_id=1):
    found = load(EXAMPLE, environ={"KEEPER_CHAIN__ID": str(chain_id)}).settings
    assert found.chain.block_time_ms == 12_000
    return found


def future(number, ahead):
    return head(number, timestamp=NOW + ahead)


def a_world(**changes):
    """Return a world whose machine's clock stands at the tenth block's time."""
    world = World(**changes)
    world.submitter.tracker.untimely = untimely_reason(settings(), lambda: NOW)
    return world


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (0, ""),
        (PATIENCE, ""),
        (-PATIENCE, ""),
        (PATIENCE + 1, "97 s ahead of this machine's clock"),
        (-PATIENCE - 1, "97 s old by this machine's clock"),
        (10**9, "ahead"),
    ],
)
def test_a_block_is_timely_within_late_blocks_and_a_minute(ahead, said):
    """One tolerance for both directions, as readiness has it."""
    reason = untimely_reason(settings(), lambda: NOW)(future(10, ahead))

    assert bool(reason) is bool(said)
    assert said in reason


def test_a_local_chains_time_is_its_own():
    """A developer moves it by years."""
    local = settings(31337)

    assert untimely_reason(local, lambda: NOW)(future(10, 10**9)) == ""
    assert bound_timestamp(local, head(10), NOW + 10**9, lambda: NOW) == NOW + 10**9


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        (None, NOW + 1),
        (0, NOW + 1),
        (NOW + 12, NOW + 12),
        (NOW + PATIENCE, NOW + PATIENCE),
        (NOW + 31_536_000, NOW + PATIENCE),
        (2**64 - 1, NOW + PATIENCE),
    ],
)
def test_a_pending_block_of_next_year_moves_no_deadline(claimed, expected):
    """What is signed for it would be good for a year."""
    assert bound_timestamp(settings(), head(10), claimed, lambda: NOW) == expected


def test_the_next_block_is_never_before_the_newest():
    """Also by a clock that is slow."""
    assert bound_timestamp(settings(), head(10), None, lambda: 0.0) == NOW + 1


async def test_nothing_is_signed_upon_a_block_of_the_future():
    """Its debts are those of interest that nobody owes yet."""
    world = a_world()
    with pytest.raises(NotBroadcast, match="ahead of this machine's clock"):
        await world.submitter.submit([batch()], future(10, 200))

    assert world.diary == []


async def test_what_is_in_flight_is_neither_bid_up_nor_cancelled_by_a_block_of_the_future():
    """Its deadline has passed by the block's time, and not by any clock."""
    world = a_world()
    await world.submitter.submit([batch(plan(0, deadline=NOW + 100))], head(10))
    for number in range(11, 15):
        await world.submitter.follow(future(number, 500 + number), unhealthy)
    await world.submitter.follow(future(15, 600), healthy)

    assert [one.kind for one in world.book[0].attempts] == [AttemptKind.SEND]
    assert world.node.sent == [world.book[0].newest.raw] * 6


async def test_a_receipt_in_a_block_of_the_future_is_booked_all_the_same():
    """Watching goes on."""
    world = a_world()
    await world.submitter.submit([batch()], head(10))
    world.chain.mine(world.book[0].newest, 11)
    await world.submitter.follow(future(11, 500), unhealthy)

    assert [one["nonce"] for one in world.told("included")] == [0]


async def test_a_start_on_a_block_of_the_future_cancels_nothing():
    """The deadline of what an earlier process left has not passed."""
    world = a_world()
    await world.submitter.submit([batch(plan(0, deadline=NOW + 100))], head(10))
    world.submitter = world.restarted()
    world.submitter.tracker.untimely = untimely_reason(settings(), lambda: NOW)
    await world.submitter.reconcile(future(11, 500))

    assert [one.kind for one in world.book[0].attempts] == [AttemptKind.SEND]


@pytest.mark.io
async def test_a_block_of_the_future_closes_no_window_of_the_limits(tmp_path):
    """An hour by the block's time alone would free the next hour's gas."""
    world = await Limited(tmp_path / "j.sqlite", max_gas_per_hour=WORST).start()
    world.submitter.tracker.untimely = untimely_reason(settings(), lambda: NOW)
    await world.mined(0, 10)
    with pytest.raises(NotBroadcast):
        await world.submitter.submit([batch(plan(1))], head(12))
    opened = world.breakers()
    await world.submitter.follow(replace(head(13), timestamp=NOW + 7_200), unhealthy)
    world.kept.close()

    assert opened == world.breakers() == [(Breaker.GAS_PER_HOUR, "open")]
