"""The submitter under limits: a real journal, a scripted chain, restarts in between."""

import sqlite3
from dataclasses import replace

import pytest

from keeper.domain.breaker import Breaker, Spent
from keeper.domain.errors import ConfigError, NotBroadcast
from keeper.domain.units import GWEI, WAD
from keeper.execution.breakers import BALANCE_BLOCKS, Breakers
from keeper.execution.control import _build_actions, _run_command
from keeper.execution.limits import History, Limits, ether, room_left
from keeper.storage.journal import Journal
from tests.support.scripted_submission import World, batch, head, plan, unhealthy

WORST = 550_000 * (10 * GWEI * 81 // 64 + 2 * GWEI)
"""What a scripted batch may cost: a tenth more gas than simulated, after two full blocks."""
REAL = 400_000 * 11 * GWEI
"""What a scripted receipt says that it cost."""


OPEN = Limits(
    max_gas_per_transaction=WAD,
    max_gas_per_hour=WAD,
    max_gas_per_day=WAD,
    max_races_per_hour=10**18,
    max_consecutive_reverts=3,
    min_balance=0,
    max_balance=10 * WAD,
)
"""Limits that nothing scripted reaches."""


class Wallet:
    """Says what the wallet holds, and how often it was asked."""

    def __init__(self, holds):
        self.holds, self.asked = holds, 0

    async def balance(self, address, basis):
        self.asked += 1
        return self.holds


class Limited(World):
    """A submitter with limits on a journal of its own."""

    def __init__(self, path, **limits):
        self.path, self.wallet = path, Wallet(WAD)
        self.limits = replace(OPEN, **limits)
        self.kept = None
        super().__init__()

    def restarted(self, **changes):
        if self.kept is not None:
            self.kept.close()
        made = super().restarted(**changes)
        sender = made.signer.address
        self.kept = Journal.open(self.path, chain_id=31337, sender=sender)
        made.tracker.journal = self.kept
        made.guard = Breakers(
            limits=self.limits,
            journal=self.kept,
            chain=self.wallet,
            sender=sender,
            emit=self.events.append,
        )
        return made

    async def start(self, number=1):
        self.submitter = self.restarted()
        await self.submitter.reconcile(head(number))
        return self

    async def mined(self, index, number, **receipt):
        """Send one batch at a head, mine it in the next block and follow that."""
        await self.submitter.submit([batch(plan(index))], head(number))
        self.chain.mine(self.submitter.tracker.bound()[0].newest, number + 1, **receipt)
        await self.submitter.follow(head(number + 1), unhealthy)

    def breakers(self):
        return [(one["name"], one["state"]) for one in self.told("breaker")]


@pytest.fixture
async def limited(tmp_path):
    made = []

    async def start(**limits):
        made.append(Limited(tmp_path / "j.sqlite", **limits))
        return await made[-1].start()

    yield start
    for one in made:
        one.kept.close()


@pytest.mark.io
async def test_failures_in_a_row_hold_until_a_reset_over_any_restart(limited):
    """The count, the switch and the reset are all in the journal."""
    world = await limited()
    for index in range(2):
        await world.mined(index, 2 + 2 * index, success=False)
    await world.start(6)
    await world.mined(2, 6, success=False)
    assert world.breakers() == [("reverts", "open")]

    await world.start(10)
    sent = len(world.node.sent)
    with pytest.raises(NotBroadcast, match="3 transactions in a row reverted"):
        await world.submitter.submit([batch(plan(5))], head(10))
    assert len(world.node.sent) == sent
    await world.submitter.reset("reverts")
    await world.start(12)
    await world.submitter.submit([batch(plan(5))], head(12))

    assert len(world.node.sent) == sent + 1
    assert world.breakers() == [("reverts", "open")] * 2 + [("reverts", "closed")]
    assert world.submitter.held == ""


PAUSE_BLOCKS = 30
"""Blocks are twelve seconds apart: longer than the first pause, shorter than the second."""


@pytest.mark.io
async def test_after_a_pause_one_transaction_probes_whether_it_works_again(limited):
    """Nobody has to come: what was wrong may be over, and one transaction finds out."""
    world = await limited()
    for index in range(3):
        await world.mined(index, 2 + 2 * index, success=False)
    await world.submitter.follow(head(20), unhealthy)
    assert world.breakers() == [("reverts", "open")]

    await world.submitter.follow(head(20 + PAUSE_BLOCKS), unhealthy)
    sent = len(world.node.sent)
    late = head(20 + PAUSE_BLOCKS)
    batches = [batch(plan(index)) for index in (5, 6)]
    assert len(await world.submitter.submit(batches, late)) == 1
    assert len(world.node.sent) == sent + 1
    world.chain.mine(world.submitter.tracker.bound()[0].newest, late.number + 1)
    await world.submitter.follow(head(late.number + 1), unhealthy)

    assert world.breakers() == [("reverts", "open"), ("reverts", "closed")]
    more = [batch(plan(index)) for index in (6, 7)]
    assert len(await world.submitter.submit(more, head(late.number + 1))) == 2


@pytest.mark.io
async def test_a_probe_that_fails_waits_twice_as_long_for_the_next(limited):
    """Also over a restart: the journal keeps how often it was tried."""
    world = await limited()
    for index in range(3):
        await world.mined(index, 2 + 2 * index, success=False)
    first = 20 + PAUSE_BLOCKS
    await world.submitter.follow(head(first), unhealthy)
    await world.mined(3, first, success=False)
    await world.start(first + 2)
    await world.submitter.follow(head(first + PAUSE_BLOCKS), unhealthy)
    states = ["open", "closed", "open", "open"]  # the restart tells of the one that is open
    assert [state for _, state in world.breakers()] == states

    await world.submitter.follow(head(first + 2 * PAUSE_BLOCKS), unhealthy)

    assert [state for _, state in world.breakers()] == [*states, "closed"]


@pytest.mark.io
async def test_one_that_works_ends_a_row_of_failures(limited):
    """Losing a race now and then is the trade."""
    world = await limited()
    for index, worked in enumerate([False, False, True, False, False]):
        await world.mined(index, 2 + 2 * index, success=worked)

    assert world.breakers() == []


@pytest.mark.io
async def test_what_is_in_flight_counts_with_all_that_it_may_cost(limited):
    """Both together could break the limit, so the second waits; the receipt makes room."""
    world = await limited(max_gas_per_hour=2 * WORST - 1)

    taken = await world.submitter.submit([batch(plan(0)), batch(plan(1))], head(2))
    told = world.submitter.held
    await world.start(3)
    with pytest.raises(NotBroadcast, match="breaker gas_per_hour is open"):
        await world.submitter.submit([batch(plan(1))], head(3))
    world.chain.mine(world.submitter.tracker.bound()[0].newest, 4)
    await world.submitter.follow(head(4), unhealthy)
    await world.submitter.submit([batch(plan(1))], head(4))

    assert [one.plans[0].account for one in taken] == [plan(0).account]
    assert f"what is in flight may cost {ether(WORST)}" in told
    states = [("gas_per_hour", "open"), ("gas_per_hour", "open"), ("gas_per_hour", "closed")]
    assert world.breakers() == states
    assert sorted(world.book) == [0, 1]


@pytest.mark.io
async def test_an_hour_passes_by_the_chains_clock(limited):
    """Also where nothing but refused batches moves the keeper on."""
    world = await limited(max_gas_per_hour=WORST + REAL - 1)
    await world.mined(0, 2)
    with pytest.raises(NotBroadcast, match=r"the last hour's gas cost 0\.0044 ETH"):
        await world.submitter.submit([batch(plan(1))], head(4))
    await world.start(5)
    later = head(3 + 300, timestamp=head(3).timestamp + 3_599)
    with pytest.raises(NotBroadcast, match="gas_per_hour"):
        await world.submitter.submit([batch(plan(1))], later)

    world.chain.blocks[400] = head(400, timestamp=head(3).timestamp + 3_600)
    await world.submitter.submit([batch(plan(1))], world.chain.blocks[400])

    assert world.breakers()[-1] == ("gas_per_hour", "closed")
    assert world.submitter.held == ""


@pytest.mark.io
async def test_one_that_is_too_dear_stays_behind_alone(limited):
    """The others of its block go; it is told why, with the numbers."""
    world = await limited(max_gas_per_transaction=WORST)
    dear = batch(plan(0, gas=500_001))

    taken = await world.submitter.submit([dear, batch(plan(1))], head(2))

    assert [one.plans[0].account for one in taken] == [plan(1).account]
    assert world.submitter.held.startswith("limit gas_per_transaction: its gas may cost 0.00806")
    assert world.breakers() == []
    await world.submitter.submit([batch(plan(2))], head(3))
    assert world.submitter.held == ""


def some_of(whole, plans):
    """Make a transaction of some plans; the gas limit has room for what they use."""
    return batch(*plans, gas_limit=1_000_000 * len(plans)) if plans else None


@pytest.mark.io
async def test_one_that_may_not_cost_so_much_goes_in_several(limited):
    """Five plans where one transaction may cost as much as two of them: nothing is left out."""
    world = await limited(max_gas_per_transaction=2 * WORST)
    world.submitter.caps.subset = some_of
    whole = batch(*(plan(index) for index in range(5)), gas_limit=5_000_000)

    taken = await world.submitter.submit([whole], head(2))

    assert [[one.account for one in part.plans] for part in taken] == [
        [plan(index).account for index in part] for part in ((0, 1), (2, 3), (4,))
    ]
    assert world.submitter.held == ""
    assert world.breakers() == []


@pytest.mark.io
async def test_what_an_hour_leaves_room_for_is_sent_of_a_larger_one(limited):
    """The best plans come first; the others are told why they wait, with the numbers."""
    world = await limited(max_gas_per_hour=3 * WORST + WORST // 2)
    world.submitter.caps.subset = some_of
    whole = batch(*(plan(index) for index in range(5)), gas_limit=5_000_000)

    taken = await world.submitter.submit([whole], head(2))

    assert [[one.account for one in part.plans] for part in taken] == [
        [plan(index).account for index in range(3)]
    ]
    assert "limits.max_gas_per_hour_eth is" in world.submitter.held
    world.chain.mine(world.submitter.tracker.bound()[0].newest, 3)
    await world.submitter.follow(head(3), unhealthy)
    again = await world.submitter.submit([batch(plan(3)), batch(plan(4))], head(3))
    assert len(again) == 2


@pytest.mark.io
async def test_below_the_floor_nothing_new_is_sent_until_it_is_topped_up(limited):
    """What is in flight goes on: its gas is promised already."""
    world = await limited(min_balance=WAD // 2)
    await world.submitter.submit([batch(plan(0))], head(2))
    world.wallet.holds = WAD // 2 - 1
    await world.start(3)

    with pytest.raises(NotBroadcast, match=r"the wallet holds 0\.4999"):
        await world.submitter.submit([batch(plan(1))], head(3))
    await world.submitter.follow(head(4), unhealthy)
    resent = world.node.sent[-1] == world.book[0].newest.raw
    world.wallet.holds = WAD
    await world.submitter.submit([batch(plan(1))], head(5))

    assert resent
    assert world.breakers() == [("min_balance", "open"), ("min_balance", "closed")]


@pytest.mark.io
async def test_gas_is_taken_off_the_balance_without_asking_again(limited):
    """The floor holds at once, not fifty blocks later."""
    world = await limited(min_balance=WAD - REAL + 1)
    asked = world.wallet.asked
    await world.submitter.submit([batch(plan(0))], head(2))
    assert world.wallet.asked == asked
    world.wallet.holds = WAD - REAL
    world.chain.mine(world.book[0].newest, 3)
    await world.submitter.follow(head(3), unhealthy)

    assert world.breakers() == [("min_balance", "open")]


@pytest.mark.io
async def test_the_balance_is_read_once_in_many_blocks(limited):
    """A quiet block costs no request for it, a send none either."""
    world = await limited()
    asked = world.wallet.asked
    for number in range(2, BALANCE_BLOCKS):
        await world.submitter.follow(head(number), unhealthy)
    await world.submitter.submit([batch(plan(0))], head(BALANCE_BLOCKS))

    assert (asked, world.wallet.asked) == (1, 1)
    await world.submitter.follow(head(BALANCE_BLOCKS + 1), unhealthy)
    assert world.wallet.asked == 2


@pytest.mark.io
async def test_too_much_money_on_a_hot_key_is_a_warning(limited, caplog):
    """Said once, and nothing is held."""
    world = await limited(max_balance=WAD - 1)
    await world.submitter.follow(head(2), unhealthy)

    warned = [one.message for one in caplog.records if one.message.startswith("balance_high")]
    assert len(warned) == 1
    assert world.submitter.held == ""


@pytest.mark.io
async def test_limits_write_nothing_before_a_send(limited):
    """A commit costs a flush of the disk: the only one is the record itself."""
    world = await limited()
    committed = []
    write = world.kept.database.write

    async def counted(work, *args, **kwargs):
        committed.append(work.__name__)
        return await write(work, *args, **kwargs)

    world.kept.database.write = counted
    await world.submitter.submit([batch(plan(0))], head(2))

    assert committed == ["record", "mark_sent"]


@pytest.mark.io
async def test_a_pause_outlives_the_process_and_is_recorded(limited):
    """By the command that gave it and the one that took it back."""
    world = await limited()
    asked = {"pause": "", "reset": "reverts", "resume": ""}

    async def told(action):
        line = f'{{"action": "{action}", "argument": "{asked[action]}"}}'.encode()
        return await _run_command(line, _build_actions(world.submitter), world.kept.record_control)

    paused = await told("pause")
    await world.start(2)
    with pytest.raises(NotBroadcast, match="sending is paused by the operator"):
        await world.submitter.submit([batch(plan(0))], head(2))
    closed = await told("reset")
    resumed = await told("resume")

    assert (paused["result"], resumed["result"]) == ("paused", "running")
    assert (closed["ok"], closed["error"]) == (False, "the breaker reverts is not open")
    await world.submitter.submit([batch(plan(0))], head(3))
    with sqlite3.connect(world.path) as raw:
        rows = raw.execute("SELECT action, argument, result FROM control_actions").fetchall()
    raw.close()
    assert rows == [
        ("pause", "", "asked"),
        ("pause", "", "paused"),
        ("reset", "reverts", "asked"),
        ("reset", "reverts", "failed: the breaker reverts is not open"),
        ("resume", "", "asked"),
        ("resume", "", "running"),
    ]


@pytest.mark.io
async def test_a_breaker_that_does_not_exist_is_named_as_such(limited):
    """With those that do."""
    world = await limited()

    with pytest.raises(ConfigError, match="no such breaker") as caught:
        await world.submitter.reset("revert")
    assert str(Breaker.REVERTS) in caught.value.hint


@pytest.mark.io
async def test_a_person_may_order_while_the_keeper_is_held(limited):
    """Deploying a mended executor is how a run of failures ends."""
    world = await limited()
    await world.submitter.pause()

    await world.submitter.order(None, b"\x60", 100_000, head(2))

    assert len(world.node.sent) == 1


@pytest.mark.parametrize(
    ("hour", "day", "in_flight", "room"),
    [
        (3 * REAL, 9 * REAL, 0, 2 * REAL),
        (3 * REAL, 9 * REAL, REAL, REAL),
        (3 * REAL, 2 * REAL, 0, REAL),
        (REAL, 9 * REAL, 0, 0),
        (3 * REAL, 9 * REAL, 5 * REAL, 0),
    ],
)
def test_the_room_that_is_left_is_the_narrowest_windows_and_never_below_nothing(
    hour, day, in_flight, room
):
    """One receipt is spent; what is in flight may cost as much again."""
    limits = replace(OPEN, max_gas_per_hour=hour, max_gas_per_day=day)
    spent = Spent(nonce=0, block_number=1, timestamp=1_000, cost=REAL, reverted=False)

    assert room_left(History(now=1_001, spent=[spent]), in_flight, limits) == room
