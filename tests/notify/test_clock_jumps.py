"""F25: messages go on when the clock is set, forward or back, while the keeper runs or between."""

import pytest

from keeper.domain.errors import NotTold
from keeper.domain.telling import MessageState
from keeper.notify.dispatcher import Dispatcher
from keeper.notify.pace import Pace
from keeper.storage import database, outbox
from keeper.storage.outbox_store import OutboxStore
from tests.support.notices import notice

HOUR = 3_600
DAY = 24 * HOUR
PACE = Pace(
    group_seconds=3,
    digest_above=4,
    max_per_minute=2,
    timeout_seconds=15,
    first_retry_seconds=5,
    longest_retry_seconds=60,
    give_up_seconds=DAY,
    alarm_after_failures=3,
)


class Clocks:
    """The time of day, and how much of it has passed."""

    def __init__(self):
        self.passed, self.off = 0.0, 0

    def wall(self):
        return 1_800_000_000 + self.passed + self.off

    def monotonic(self):
        return 1_000 + self.passed


class Channel:
    """A channel that fails while it is told to."""

    def __init__(self):
        self.taken, self.failing, self.asked, self.tried = [], False, None, 0

    async def tell(self, message):
        self.tried += 1
        if self.failing:
            raise NotTold("down", retry_after=self.asked)
        self.taken.append(message.key)


@pytest.fixture
def file(tmp_path):
    opened = database.opened(tmp_path / "keeper.sqlite")
    yield opened
    opened.close()


class World:
    """An outbox with one channel; each ``process`` is another keeper's dispatcher."""

    def __init__(self, file):
        self.file, self.clocks, self.channel, self.count = file, Clocks(), Channel(), 0
        self.process()

    def process(self):
        self.dispatcher = Dispatcher(
            outbox=OutboxStore(self.file),
            channels={"ops": self.channel},
            choose=lambda _: ["ops"],
            pace=PACE,
            emit=[].append,
            head=lambda: None,
            clock=self.clocks.wall,
            monotonic=self.clocks.monotonic,
        )

    async def notify(self):
        self.count += 1
        told = [notice(key=f"k{self.count}")]
        await self.file.write(outbox.enqueue, told, int(self.clocks.wall()))

    async def go_on(self, seconds):
        """Let time pass, a second at a time."""
        for _ in range(seconds):
            self.clocks.passed += 1
            await self.dispatcher.routed()
            while await self.dispatcher.served("ops"):
                pass

    async def seconds_until(self, done, most=2 * HOUR):
        for second in range(most):
            if done():
                return second
            await self.go_on(1)
        raise AssertionError("nothing comes any more")


@pytest.fixture
def world(file):
    return World(file)


@pytest.mark.parametrize("off", [-DAY, -HOUR, -10, 10, HOUR, DAY])
@pytest.mark.parametrize("restarts", [False, True])
async def test_f25_a_retry_comes_in_its_time_however_the_clock_was_set(world, off, restarts):
    """Neither an hour later, nor never; by the next process, too."""
    world.channel.failing = True
    await world.notify()
    await world.go_on(20)
    tried = world.channel.tried
    world.clocks.off = off
    if restarts:
        world.process()
    world.channel.failing = False

    assert tried >= 2
    assert await world.seconds_until(lambda: world.channel.taken) <= 1.25 * 60


@pytest.mark.parametrize("off", [-DAY, -HOUR, -2, 2, HOUR, DAY])
@pytest.mark.parametrize("restarts", [False, True])
async def test_f25_what_waits_for_its_group_waits_no_longer(world, off, restarts):
    """It was kept just before the clock was set."""
    await world.notify()
    world.clocks.off = off
    if restarts:
        world.process()

    assert await world.seconds_until(lambda: world.channel.taken) <= PACE.group_seconds + 1


@pytest.mark.parametrize("off", [-DAY, -HOUR, HOUR])
async def test_f25_the_rate_of_before_does_not_hold_up_what_comes_after(world, off):
    """What was sent is dated an hour ahead of now; a minute's messages are a minute's."""
    for _ in range(2):
        await world.notify()
        await world.go_on(5)
    world.clocks.off = off
    await world.notify()

    assert await world.seconds_until(lambda: len(world.channel.taken) == 3) <= 70


@pytest.mark.parametrize("restarts", [False, True])
async def test_f25_a_clock_that_is_set_forward_gives_no_message_up(world, restarts):
    """By the clock it is older than what is tried at all; it has failed for a minute."""
    world.channel.failing = True
    await world.notify()
    await world.go_on(10)
    world.clocks.off = 2 * DAY
    if restarts:
        world.process()
    await world.go_on(50)
    (message,) = world.file.write_now(outbox.listed, 10)

    assert message.state is MessageState.WAITING
    world.channel.failing = False
    assert await world.seconds_until(lambda: world.channel.taken) <= 1.25 * 60


async def test_what_really_fails_for_a_day_is_given_up(world):
    """The bound is there all the same."""
    world.channel.failing = True
    await world.notify()
    await world.go_on(10)
    world.clocks.passed += DAY
    await world.go_on(10)
    (message,) = world.file.write_now(outbox.listed, 10)

    assert message.state is MessageState.DEAD


async def test_f25_a_channels_own_wish_is_kept_while_the_clock_is_set(world):
    """It asked for five minutes."""
    world.channel.failing, world.channel.asked = True, 300.0
    await world.notify()
    await world.go_on(4)
    tried, world.clocks.off = world.channel.tried, HOUR
    await world.go_on(200)

    assert world.channel.tried == tried == 1


async def test_f25_what_is_revived_by_another_clock_is_told_at_once(world):
    """The command reads the right time, and the keeper started with a wrong one."""
    world.channel.failing = True
    await world.notify()
    await world.go_on(5)
    world.file.write_now(outbox.given_up, 1, "refused", int(world.clocks.wall()))
    world.file.write_now(outbox.revive, int(world.clocks.wall()) + HOUR)
    world.channel.failing = False
    world.process()

    assert await world.seconds_until(lambda: world.channel.taken) <= 2
