"""The stage of margin calls over scripted markets and a real database file."""

import contextlib
import json
import sqlite3
from dataclasses import replace

import pytest
from sqlalchemy import select

from keeper.audit.canonical import restored
from keeper.domain.advice import Advice
from keeper.domain.errors import ConfigError, JournalError, RpcUnavailable
from keeper.domain.head import Head
from keeper.margin.facts import BlockFacts
from keeper.margin.settings import COMPETITIVE, GUARDIAN
from keeper.stages.margincalls import MarginCalls, Wanted
from keeper.storage import acted, database, episodes
from keeper.storage.outbox import unrouted
from keeper.storage.record import entries_of
from keeper.storage.schema import notices as notices_table
from tests.unit.margin.story import (
    DOLLAR_READING,
    MARKET,
    START,
    USD,
    exposure_of,
    health_of,
    reading,
    someone,
    subject,
)

DEBT = 1_600


class Market:
    """A market whose logs say that those in ``liquidated_`` were."""

    key = MARKET

    def __init__(self):
        self.liquidated_ = set()
        self.liquidation_filter = "wanted"

    def liquidated(self, logs):
        return frozenset(self.liquidated_)


class Snapshot:
    """Accounts with an ether each; what they owe and its price are the test's."""

    market, base_unit = MARKET, USD

    def __init__(self, head, price, debts):
        self.head, self.price, self.debts = head, price * USD, debts
        self.asked = 0

    def readings(self):
        return (reading(self.price), DOLLAR_READING)

    def exposure(self, account):
        self.asked += 1
        return exposure_of(self.price, self.debts[int(account, 16)])

    def below(self, line):
        found = (self.account(someone(one)) for one in self.debts)
        return [one for one in found if one.health_factor < line]

    def liquidatable(self):
        return [one for one in self.below(10**18) if one.liquidatable]

    def account(self, account):
        number = int(account, 16)
        debt = self.debts.get(number)
        return health_of(number, exposure_of(self.price, debt)) if debt else None

    def advice(self, account, target, holds_until):
        return Advice(target=target, holds_until=holds_until, cures=(), prices=())


class Book:
    fork = None

    def __init__(self):
        self.quarantined = {}


class Reader:
    """A chain whose logs can fail to be read."""

    def __init__(self):
        self.fails, self.asked = False, []

    async def logs_between(self, wanted, first, last):
        self.asked.append((first, last))
        if self.fails:
            raise RpcUnavailable("no answer")
        return []


class World:
    """A stage on a file; ``reopened`` is what a restart does."""

    def __init__(self, path, settings):
        self.path, self.settings = path, replace(settings, both_clocks=False)
        self.number, self.debts = 0, {1: DEBT}
        self.market, self.book, self.reader = Market(), Book(), Reader()
        self.events = []
        self.database = None

    async def reopened(self):
        if self.database is not None:
            self.database.close()
        self.database = database.opened(self.path)
        self.calls = MarginCalls(
            settings=self.settings,
            database=self.database,
            reader=self.reader,
            book=self.book,
            markets=[self.market],
            valuer=None,
            wanted=Wanted(target=126 * 10**16, holds_seconds=86_400),
            emit=self.events.append,
            clock=lambda: START,
        )
        await self.calls.start()

    async def acting(self, price, who, *, learned=False, again=False):
        """The first half of a block: the policy asked, and what is kept before anything is sent."""
        self.number += not again
        head = a_head(self.number)
        snapshots, subjects = [Snapshot(head, price, self.debts)], [subject(one) for one in who]
        await self.calls.restraint(head, snapshots)
        if learned:
            await self.calls.learned(head, snapshots, subjects)
        else:
            news = await self.calls.acting(head, snapshots, subjects, {})
            await self.database.write(acted.keep, news)

    async def block(self, price, *, branch="", again=False):
        self.number += not again
        head = a_head(self.number, branch)
        self.snapshot = Snapshot(head, price, self.debts)
        restraint = await self.calls.restraint(head, [self.snapshot])
        await self.calls.told(head, [self.snapshot])
        return {int(one[1], 16): wait.reason for one, wait in restraint.waits.items()}

    def told(self):
        return [(one["kind"], one["tier"]) for one in self.events]

    def kept(self):
        """The notices in the outbox, by the file itself."""
        with contextlib.closing(sqlite3.connect(self.path)) as file:
            return file.execute("select kind, tier from notices order by id").fetchall()


def a_head(number, branch=""):
    return Head(
        number=number,
        hash=f"0x{branch}{number}",
        parent_hash=f"0x{number - 1}",
        timestamp=START + 12 * number,
        base_fee=1,
        gas_limit=30_000_000,
        gas_used=0,
    )


@pytest.fixture
async def world(tmp_path):
    made = World(tmp_path / "keeper.sqlite", COMPETITIVE)
    await made.reopened()
    yield made
    made.database.close()


@pytest.fixture
async def guarded(tmp_path):
    made = World(tmp_path / "guardian.sqlite", GUARDIAN)
    await made.reopened()
    yield made
    made.database.close()


@pytest.mark.slow
async def test_what_is_told_is_in_the_outbox_with_the_change(world):
    """One transaction: the notice, the standing, the episode and the change of tier."""
    await world.block(2_600)
    await world.block(2_050)

    assert world.told() == world.kept() == [("called", "urgent")]
    state = await world.database.write(episodes.state_of)
    assert state == world.calls.state
    entries = await world.database.write(entries_of, someone(1))
    told = [(one.kind, json.loads(one.body)) for one in entries]
    assert [kind for kind, _ in told] == ["episode", "episode", "call"]
    assert [body.get("change") for _, body in told] == ["opened", "entered", None]
    assert {body["tier"] for _, body in told} == {"urgent"}
    assert {body["health_factor"] for _, body in told} == {str(1_025 * 10**15)}


@pytest.mark.slow
async def test_a_restart_between_any_two_blocks_changes_nothing(tmp_path):
    """The story of one account with and without restarts is kept and told alike."""
    prices = [2_600, 2_480, 2_190, 1_990, 2_190, 2_600, 2_600, 2_600, 2_480]
    stories = []
    for restarts in (False, True):
        world = World(tmp_path / f"{restarts}.sqlite", COMPETITIVE)
        await world.reopened()
        for price in prices:
            await world.block(price)
            if restarts:
                await world.reopened()
        stories.append((world.told(), world.kept(), world.calls.state))
        world.database.close()

    assert stories[0] == stories[1]
    assert stories[0][0] == [
        ("called", "watch"),
        ("called", "call"),
        ("called", "liquidatable"),
        ("cured", "liquidatable"),
        ("called", "watch"),
    ]


@pytest.mark.slow
async def test_a_liquidation_is_looked_up_only_when_somebody_leaves(world):
    """One query of a few blocks when an account gets better; none in all other blocks."""
    for price in (2_600, 1_990, 1_990):
        await world.block(price)
    assert world.reader.asked == []
    world.market.liquidated_ = {subject(1)}
    world.debts = {1: 1_000}
    await world.block(1_990)

    assert world.reader.asked == [(2, 4)]
    assert world.told() == [("called", "liquidatable"), ("liquidated", "liquidatable")]


class RememberingBook(Book):
    """A book that has the logs of the blocks since one."""

    def __init__(self, since):
        super().__init__()
        self.since, self.asked = since, []

    def remembered(self, market, wanted, first, tip):
        self.asked.append((market, wanted, first, tip))
        return [] if first >= self.since else None


@pytest.mark.slow
@pytest.mark.parametrize(("since", "queries"), [(1, []), (3, [(2, 4)])])
async def test_what_the_book_remembers_is_not_asked_of_the_node(world, since, queries):
    """A block in which somebody gets better costs no query, unless that is too long ago."""
    world.calls.book = RememberingBook(since)
    for price in (2_600, 1_990, 1_990):
        await world.block(price)
    world.market.liquidated_ = {subject(1)}
    world.debts = {1: 1_000}
    await world.block(1_990)

    assert world.calls.book.asked == [(MARKET, "wanted", 2, "0x4")]
    assert world.reader.asked == queries
    assert world.told()[-1] == ("liquidated", "liquidatable")


@pytest.mark.slow
async def test_while_the_chain_cannot_be_asked_nothing_is_closed(world):
    """Cured or liquidated: whoever does not know says neither, and asks again."""
    await world.block(1_990)
    world.reader.fails = True
    world.debts = {1: 1_000}
    for _ in range(4):
        await world.block(1_990)
    assert world.told() == [("called", "liquidatable")]

    world.reader.fails = False
    for _ in range(3):
        await world.block(1_990)
    assert world.told() == [("called", "liquidatable"), ("cured", "liquidatable")]


@pytest.mark.slow
async def test_a_full_disk_tells_nobody(world):
    """What could not be kept is not told; the next block tells it."""
    await world.block(2_600)
    world.database.close()

    with pytest.raises((JournalError, RuntimeError)):
        await world.block(2_050)

    assert world.events == []
    world.database = None
    await world.reopened()
    await world.block(2_050)
    assert world.told() == [("called", "urgent")]


@pytest.mark.slow
async def test_an_acknowledgement_survives_a_restart(world):
    """Somebody has taken notice: no reminder comes, whoever asks."""
    await world.block(2_050)

    assert await world.calls.acknowledge(someone(1).upper().replace("0X", "0x")) == someone(1)
    await world.reopened()

    assert world.calls.state.standings[subject(1)].acknowledged is not None
    with pytest.raises(ConfigError, match="no open call"):
        await world.calls.acknowledge(someone(2))


@pytest.mark.slow
async def test_a_call_says_what_cures_it(world):
    """The advice goes with the notice, and stays with the account."""
    await world.block(2_050)

    (call,) = await world.database.write(episodes.open_calls)
    assert call.advice == Advice(
        target=126 * 10**16, holds_until=START + 12 + 86_400, cures=(), prices=()
    )
    document = await world.database.write(
        lambda connection: connection.execute(select(notices_table.c.document)).scalar_one()
    )
    assert '"holds_until"' in document


@pytest.mark.slow
async def test_a_guardian_lets_wait_and_keeps_what_it_counts(guarded):
    """Three blocks to believe it, then the grace that was promised; then it is free."""
    waits = [await guarded.block(price) for price in [2_600] + [1_990] * 32]

    assert waits[:3] == [{}, {1: "spike_unconfirmed"}, {1: "spike_unconfirmed"}]
    assert waits[3:28] == [{1: "policy_grace"}] * 25
    assert waits[28:] == [{}] * 5
    state = await guarded.database.write(episodes.state_of)
    assert state.hash == guarded.calls.state.hash


@pytest.mark.slow
async def test_members_that_stay_where_they_are_cost_no_look_at_their_legs(world):
    """Ten thousand accounts in tiers: only those who move are looked at closely."""
    world.debts = dict.fromkeys(range(1, 301), DEBT)
    await world.block(2_050)
    assert world.snapshot.asked == 0

    await world.block(1_990)
    assert world.snapshot.asked >= 300
    await world.block(2_030)
    await world.block(2_031)

    assert world.snapshot.asked == 0


@pytest.mark.slow
@pytest.mark.parametrize("learned", [True, False], ids=["cured", "liquidated"])
async def test_whoever_is_acted_on_is_kept_before_anything_is_sent(world, learned):
    """His standing and his call are in the file; nobody is told before the rest of the block."""
    await world.block(2_600)
    await world.acting(1_990, [1], learned=learned)
    if not learned:
        await world.reopened()  # the news are in the file; a start draws the conclusion

    state = await world.database.write(episodes.state_of)
    assert state.standings[subject(1)].tier == "liquidatable"
    assert world.kept() == [("called", "liquidatable")]
    assert world.told() == []
    assert await world.database.write(unrouted, 10) == []


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [[1, 2], [2], [1, 2, 3]], ids=["same", "fewer", "more"])
async def test_what_was_prepared_is_kept_only_for_the_same_accounts_and_block(world, ahead):
    """The facts may be worked out while the node simulates; they are those of the act itself."""
    world.debts |= {2: world.debts[1], 3: world.debts[1]}
    await world.block(2_600)
    head, stale = a_head(world.number + 1), a_head(world.number + 2)
    snapshots = [Snapshot(head, 1_990, world.debts)]
    subjects = [subject(1), subject(2)]
    await world.calls.restraint(head, snapshots)
    await world.calls.prepare(head, snapshots, [subject(one) for one in ahead])

    news = await world.calls.acting(head, snapshots, subjects, {})

    facts = restored(BlockFacts, json.loads(news.document))
    assert facts.accounts.keys() == set(subjects)
    assert (facts.hash, news.block_hash) == (head.hash, head.hash)
    later = [Snapshot(stale, 1_980, world.debts)]
    assert (await world.calls.acting(stale, later, subjects, {})).block_hash == stale.hash


@pytest.mark.slow
@pytest.mark.parametrize("learned", [True, False], ids=["cured", "liquidated"])
@pytest.mark.parametrize("starts", [1, 2])
async def test_a_kill_between_the_act_and_the_calls_loses_and_repeats_none(world, learned, starts):
    """The next process tells what was kept, once, with its advice, and closes it in time."""
    await world.block(2_600)
    await world.acting(1_990, [1], learned=learned)
    for _ in range(starts):
        await world.reopened()
    world.market.liquidated_ = {subject(1)}
    world.debts = {1: 1_000}
    await world.block(1_990)
    await world.block(1_990)

    assert world.told() == [("called", "liquidatable"), ("liquidated", "liquidatable")]
    assert world.kept() == world.told()
    told = await world.database.write(unrouted, 10)
    assert [one.kind for _, one in told] == ["called", "liquidated"]
    assert told[0][1].advice is not None
    entries = await world.database.write(entries_of, someone(1))
    changes = [json.loads(one.body).get("change") or one.kind for one in entries]
    assert changes == ["opened", "entered", "left", "call", "call"]
    assert world.reader.asked == [(1, 3)]


@pytest.mark.slow
async def test_accounts_that_left_one_after_the_other_in_one_block_are_all_told_of(world):
    """Each portion of a block's transactions has its own row; one start draws all conclusions."""
    world.debts = {1: DEBT, 2: DEBT}
    await world.block(2_600)
    await world.acting(1_990, [1])
    await world.acting(1_990, [2], again=True)
    kept = await world.database.write(acted.kept)
    await world.reopened()

    state = await world.database.write(episodes.state_of)
    assert len(kept) == 2
    assert {state.standings[subject(one)].tier for one in (1, 2)} == {"liquidatable"}
    assert world.kept() == [("called", "liquidatable")] * 2
    assert await world.database.write(acted.kept) == []


@pytest.mark.slow
async def test_portions_of_a_block_that_could_not_be_told_of_are_all_told_later(world):
    """What left in the block before is kept whole before the next block is looked at."""
    world.debts = {1: DEBT, 2: DEBT}
    await world.block(2_600)
    await world.acting(1_990, [1])
    await world.acting(1_990, [2], again=True)
    await world.block(1_990)

    assert world.told() == [("called", "liquidatable")] * 2
    assert await world.database.write(acted.kept) == []


@pytest.mark.slow
async def test_a_kill_in_the_first_block_of_all_asks_of_no_block_before_it(world):
    """A liquidation is looked for since the keeper knows the account, not since the chain began."""
    world.number = 1_000
    await world.acting(1_990, [1])
    await world.reopened()
    world.market.liquidated_ = {subject(1)}
    world.debts = {1: 1_000}
    await world.block(1_990)

    assert world.told() == [("called", "liquidatable"), ("liquidated", "liquidatable")]
    assert world.reader.asked == [(1_001, 1_002)]


@pytest.mark.slow
async def test_calls_that_are_late_are_told_of_those_acted_on(world):
    """The block's calls could not be kept; by the next block the account was liquidated."""
    await world.block(2_600)
    await world.acting(1_990, [1])
    world.market.liquidated_ = {subject(1)}
    world.debts = {1: 1_000}
    await world.block(1_990)

    assert (
        world.told()
        == world.kept()
        == [
            ("called", "liquidatable"),
            ("liquidated", "liquidatable"),
        ]
    )
    assert await world.database.write(acted.kept) == []


@pytest.mark.slow
@pytest.mark.parametrize("learned", [True, False], ids=["cured", "liquidated"])
@pytest.mark.parametrize("killed", [False, True])
async def test_the_act_and_the_calls_of_one_block_keep_each_thing_once(world, learned, killed):
    """Two steps, and a restart or none: one episode, one notice, told at the end of the block."""
    await world.block(2_600)
    await world.acting(1_990, [1], learned=learned)
    if killed:
        await world.reopened()
    await world.block(1_990, again=True)

    assert world.told() == world.kept() == [("called", "liquidatable")]
    entries = await world.database.write(entries_of, someone(1))
    changes = [json.loads(one.body).get("change") or one.kind for one in entries]
    assert changes == ["opened", "entered", "call"]
    assert world.calls.state == await world.database.write(episodes.state_of)
    assert await world.database.write(acted.kept) == []


async def test_the_policy_is_asked_without_a_look_at_those_short_of_the_line(guarded):
    """A crash: whoever can be liquidated comes first, the thousands in other tiers later."""
    guarded.debts = {**dict.fromkeys(range(1, 501), 1_500), 501: DEBT}
    await guarded.block(2_600)
    head = a_head(2)
    snapshot = Snapshot(head, 1_990, guarded.debts)
    await guarded.calls.restraint(head, [snapshot])

    assert snapshot.asked == 1
    assert (await guarded.database.write(episodes.state_of)).number == 1


@pytest.mark.slow
async def test_what_is_kept_of_those_acted_on_is_one_row_whatever_the_policy(world, guarded):
    """A send waits for it: nothing is reckoned, and nothing written before the nonces are."""
    for one in (world, guarded):
        await one.block(2_600)
        before, head = one.calls.state, a_head(2)
        news = await one.calls.acting(head, [Snapshot(head, 800, one.debts)], [subject(1)], {})

        assert await one.database.write(episodes.state_of) == before == one.calls.state
        await one.database.write(acted.keep, news)
        (facts,) = await one.database.write(acted.kept)
        assert (facts.hash, list(facts.accounts)) == (head.hash, [subject(1)])
        assert facts.exposures[subject(1)] == exposure_of(800 * USD, DEBT)


@pytest.mark.slow
async def test_thousands_of_calls_get_their_advice_in_the_blocks_after(world):
    """Sixty-four in a block, the worst first; a restart goes on where it was."""
    world.debts = {one: 1_500 + one for one in range(1, 151)}
    await world.block(2_600)

    async def advised():
        found = await world.database.write(episodes.open_calls)
        return [int(one.account, 16) for one in found if one.advice is not None]

    await world.block(2_050)
    assert await advised() == list(range(87, 151))
    await world.block(2_050)
    assert len(await advised()) == 128
    await world.reopened()
    await world.block(2_050)
    assert len(await advised()) == len(await world.database.write(episodes.open_calls)) == 150
    assert len(world.told()) == 150
