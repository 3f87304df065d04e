"""F25: the hour's and the day's limits, where the chain's clock jumps and is right again."""

import pytest

from keeper.domain.breaker import Breaker, Spent
from keeper.domain.errors import NotBroadcast
from keeper.execution.limits import History, spent_within
from tests.support.scripted_submission import batch, head, plan, unhealthy
from tests.unit.execution.test_limits_guard import REAL, WORST, Limited

DAY = 86_400


@pytest.fixture
async def world(tmp_path):
    """An hour in which one transaction was paid for, and a second one is too much."""
    made = Limited(tmp_path / "j.sqlite", max_gas_per_hour=WORST + REAL // 2)
    await made.start()
    yield made
    made.kept.close()


@pytest.mark.io
@pytest.mark.parametrize("off", [-DAY, -3_600, 0, 3_600, 2 * DAY])
async def test_f25_what_was_spent_counts_although_the_clock_jumped_when_it_was_seen(world, off):
    """Its receipt was found at a block whose time was wrong."""
    await world.submitter.submit([batch(plan(0))], head(2))
    world.chain.mine(world.submitter.tracker.bound()[0].newest, 3)
    await world.submitter.follow(head(3, timestamp=head(3).timestamp + off), unhealthy)
    await world.submitter.follow(head(4), unhealthy)

    with pytest.raises(NotBroadcast, match="the last hour's gas cost"):
        await world.submitter.submit([batch(plan(1))], head(4))


@pytest.mark.io
@pytest.mark.parametrize("off", [-DAY, -3_600, 3_600, 2 * DAY])
async def test_f25_what_was_spent_counts_after_the_clock_jumped(world, off):
    """A block of another time comes between."""
    await world.mined(0, 2)
    await world.submitter.follow(head(4, timestamp=head(4).timestamp + off), unhealthy)
    await world.submitter.follow(head(5), unhealthy)

    with pytest.raises(NotBroadcast, match="the last hour's gas cost"):
        await world.submitter.submit([batch(plan(1))], head(5))


@pytest.mark.parametrize("off", [-DAY, -3_600, -1, 0])
def test_f25_what_was_spent_in_a_time_that_comes_yet_counts_in_every_window(off):
    """The clock was set back: to leave it out would let an hour's gas be spent twice."""
    now = 10 * DAY
    history = History(
        now=now + off,
        spent=[Spent(nonce=0, block_number=1, timestamp=now, cost=REAL, reverted=False)],
    )

    assert spent_within(history, Breaker.GAS_PER_HOUR, 3_600) == REAL
    assert spent_within(history, Breaker.GAS_PER_DAY, DAY) == REAL


@pytest.mark.parametrize(("after", "counts"), [(3_599, True), (3_600, False)])
def test_an_hour_ends_to_the_second(after, counts):
    """What is as old as the window is outside of it."""
    spent = Spent(nonce=0, block_number=1, timestamp=1_000, cost=REAL, reverted=False)
    history = History(now=1_000 + after, spent=[spent])

    assert spent_within(history, Breaker.GAS_PER_HOUR, 3_600) == (REAL if counts else 0)
