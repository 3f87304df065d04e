"""F25: the hour's and the day's limits, where the chain's clock jumps and is right again."""

import pytest

from keeper.domain.errors import NotBroadcast
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


@pytest.mark.parametrize("off", [-DAY, -3_600, 0, 3_600, 2 * DAY])
async def test_f25_what_was_spent_counts_although_the_clock_jumped_when_it_was_seen(world, off):
    """Its receipt was found at a block whose time was wrong."""
    await world.submitter.submit([batch(plan(0))], head(2))
    world.chain.mine(world.submitter.tracker.bound()[0].newest, 3)
    await world.submitter.follow(head(3, timestamp=head(3).timestamp + off), unhealthy)
    await world.submitter.follow(head(4), unhealthy)

    with pytest.raises(NotBroadcast, match="the last hour's gas cost"):
        await world.submitter.submit([batch(plan(1))], head(4))


@pytest.mark.parametrize("off", [-DAY, -3_600, 3_600, 2 * DAY])
async def test_f25_what_was_spent_counts_after_the_clock_jumped(world, off):
    """A block of another time comes between."""
    await world.mined(0, 2)
    await world.submitter.follow(head(4, timestamp=head(4).timestamp + off), unhealthy)
    await world.submitter.follow(head(5), unhealthy)

    with pytest.raises(NotBroadcast, match="the last hour's gas cost"):
        await world.submitter.submit([batch(plan(1))], head(5))
