"""The follower misses no log: through gaps, reorganisations, failures and broken markets."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from keeper.book.branch import BY_HASH
from keeper.book.follower import Follower, merged
from keeper.book.read_ahead import Pace
from keeper.book.trail import DEPTH
from keeper.chain.abi import checksum
from keeper.domain.errors import MarketUnreadable, RpcUnavailable, SnapshotReorged
from keeper.domain.head import Head
from keeper.domain.reads import Call, CallResult, Log, LogFilter

TOPIC = b"\x01" * 32


def address(number):
    return checksum(number.to_bytes(20))


def block_hash(number, branch="a"):
    return "0x" + f"{branch}{number:x}".rjust(64, "0")


def head(number, branch="a", parent_branch=None):
    return Head(
        number=number,
        hash=block_hash(number, branch),
        parent_hash=block_hash(number - 1, parent_branch or branch),
        timestamp=1000 + number,
        base_fee=7,
        gas_limit=30_000_000,
        gas_used=0,
    )


def log(at, account, *, emitter=1):
    return Log(
        address=address(emitter),
        topics=(TOPIC,),
        data=account.to_bytes(32),
        block_number=at.number,
        block_hash=at.hash,
        transaction_hash="0x" + "00" * 32,
        index=account,
    )


@dataclass
class Chain:
    """A scripted node: its canonical blocks by number, and the logs of every block ever."""

    blocks: dict = field(default_factory=dict)
    logs: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    fail_next: list = field(default_factory=list)

    def mine(self, *heads, logs=()):
        for each in heads:
            self.blocks[each.number] = each
            self.logs.setdefault(each.hash, [])
        for each in logs:
            self.logs[each.block_hash].append(each)
        return heads[-1]

    def _ask(self, what):
        self.asked.append(what)
        if self.fail_next and self.fail_next[0][0] == what:
            raise self.fail_next.pop(0)[1]

    async def head(self, block=None):
        self._ask("head")
        if isinstance(block, int):
            return self.blocks[block]
        return next(each for each in self.blocks.values() if each.hash == block)

    async def heads(self, first, last):
        self._ask("heads")
        return [self.blocks[number] for number in range(first, last + 1)]

    async def scan_logs(self, wanted, first, last, took):
        self._ask("scan_logs")
        blocks = [self.blocks[n] for n in range(first, last + 1) if n in self.blocks]
        logs = [each for at in blocks for each in self.logs[at.hash] if wanted.accepts(each)]
        took(logs, last)

    async def block_logs(self, wanted, block_hash):
        self._ask("block_logs")
        return [each for each in self.logs[block_hash] if wanted.accepts(each)]

    async def logs_between(self, wanted, first, last):
        self._ask("logs_between")
        hashes = [self.blocks[n].hash for n in range(first, last + 1) if n in self.blocks]
        return [each for at in hashes for each in self.logs[at] if wanted.accepts(each)]

    async def aggregate(self, calls, basis):
        self._ask("aggregate")
        return [CallResult(success=True, data=call.data) for call in calls]


@dataclass
class Market:
    """A market whose reads are the accounts that were noted since the last good apply."""

    key: str = "test:1"
    emitter: int = 1
    from_block: int = 0
    touched: set = field(default_factory=set)
    loaded: list = field(default_factory=list)
    loads: int = 0
    broken: set = field(default_factory=set)

    @property
    def history_filter(self):
        return LogFilter(addresses=(address(self.emitter),), topics=((TOPIC,),))

    log_filter = history_filter

    def borrowers(self, logs):
        return frozenset(address(int.from_bytes(each.data)) for each in logs)

    def _work(self, step):
        if step in self.broken:
            raise MarketUnreadable(f"{step} failed")

    async def discover(self, head):
        self._work("discover")

    async def load(self, head, accounts):
        self._work("load")
        self.loaded, self.loads = list(accounts), self.loads + 1

    def note(self, logs):
        self.touched |= {int.from_bytes(each.data) for each in logs}

    async def refresh(self, head):
        self._work("refresh")

    def calls(self, head):
        target = address(self.emitter)
        return [Call(target=target, data=n.to_bytes(32)) for n in sorted(self.touched)]

    def apply(self, head, results):
        self._work("apply")
        self.touched = set()
        return [(self.key, head.hash, [int.from_bytes(each.data) for each in results])]


async def started(*markets, first=100):
    chain = Chain()
    chain.mine(*(head(number) for number in range(first + 1)))
    follower = Follower(chain, markets)
    await follower.start(head(first))
    chain.asked.clear()
    return chain, follower


async def test_a_quiet_block_costs_one_log_query_and_one_aggregate():
    """However many markets there are; headers are not asked for when the parent is known."""
    chain, follower = await started(Market(), Market(key="test:2", emitter=2))
    chain.mine(head(101), logs=[log(head(101), 5), log(head(101), 6, emitter=2)])

    read = await follower.advance(head(101))

    assert chain.asked == ["block_logs", "aggregate"]
    assert read == [("test:1", head(101).hash, [5]), ("test:2", head(101).hash, [6])]


async def test_history_names_the_accounts_to_load():
    """Everybody who ever borrowed is loaded, and progress is told."""
    chain, market, told = Chain(), Market(from_block=3), []
    chain.mine(*(head(n) for n in range(11)), logs=[log(head(2), 1), log(head(4), 2)])

    await Follower(chain, [market]).start(head(10), told.append)

    assert market.loaded == [address(2)]
    assert [each.stage for each in told] == ["discover", "history", "load", "ready"]


@pytest.mark.parametrize("gap", [2, BY_HASH, BY_HASH + 1, DEPTH, DEPTH + 1, 3 * DEPTH])
async def test_a_gap_is_filled(gap):
    """The keeper was slower than the chain, or away; nothing in between may be missed."""
    chain, follower = await started(Market())
    for number in range(101, 101 + gap):
        chain.mine(head(number), logs=[log(head(number), number)])

    ((_, at, read),) = await follower.advance(head(100 + gap))

    assert at == head(100 + gap).hash
    assert read == list(range(101, 101 + gap))


WANTED = LogFilter(addresses=(address(1),), topics=((TOPIC,),))


async def test_the_newest_blocks_logs_are_remembered():
    """Who was liquidated since an account got into its tier is known without asking again."""
    chain, follower = await started(Market(), Market(key="test:2", emitter=2), first=200)
    for number in range(201, 204):
        mined = [log(head(number), number), log(head(number), number, emitter=2)]
        chain.mine(head(number), logs=mined)
        await follower.advance(head(number))
    chain.asked.clear()

    found = follower.remembered("test:1", WANTED, 202, head(203).hash)
    assert found == [log(head(number), number) for number in (202, 203)]
    oldest = 203 - DEPTH + 1
    assert len(follower.remembered("test:1", WANTED, oldest, head(203).hash)) == 3
    assert follower.remembered("test:1", WANTED, oldest - 1, head(203).hash) is None
    assert follower.remembered("test:1", WANTED, 202, head(202).hash) is None
    assert follower.remembered("test:9", WANTED, 202, head(203).hash) is None
    other = replace(WANTED, topics=((b"\x02" * 32,),))
    assert follower.remembered("test:1", other, 202, head(203).hash) is None
    assert chain.asked == []


async def test_a_log_that_was_taken_back_is_not_remembered():
    """Its block is no more; the one in its place has another log."""
    chain, follower = await started(Market())
    chain.mine(head(101), logs=[log(head(101), 5)])
    await follower.advance(head(101))
    other = chain.mine(head(101, "b", "a"), logs=[log(head(101, "b"), 6)])
    await follower.advance(other)

    assert follower.remembered("test:1", WANTED, 100, other.hash) == [log(other, 6)]


async def test_what_a_long_gap_left_out_is_not_remembered():
    """The logs of all of its blocks were read; only the last of them are still there."""
    chain, follower = await started(Market())
    chain.mine(*(head(number) for number in range(101, 101 + 3 * DEPTH)))
    newest = head(100 + 3 * DEPTH)
    await follower.advance(newest)

    assert follower.remembered("test:1", WANTED, newest.number - 5, newest.hash) == []
    assert follower.remembered("test:1", WANTED, 101, newest.hash) is None


@pytest.mark.parametrize(
    ("mine", "theirs", "covered"),
    [
        (((1,), (TOPIC,)), ((1,), (TOPIC,)), True),
        (((1, 2), (TOPIC, b"2")), ((1,), (TOPIC,)), True),
        (((), (TOPIC,)), ((1,), (TOPIC,)), True),
        (((1,), ()), ((1,), (TOPIC,)), True),
        (((1,), (TOPIC,)), ((1,), ()), False),
        (((1,), (TOPIC,)), ((), (TOPIC,)), False),
        (((1,), (TOPIC,)), ((2,), (TOPIC,)), False),
        (((1,), (TOPIC,)), ((1,), (TOPIC, b"2")), False),
    ],
)
def test_a_filter_covers_what_takes_no_more(mine, theirs, covered):
    """Addresses and first topics, where an empty list takes anything."""
    one, other = (
        LogFilter(addresses=tuple(address(each) for each in where), topics=(what,) if what else ())
        for where, what in (mine, theirs)
    )
    assert one.covers(other) is covered


async def test_a_reorg_reads_the_orphaned_accounts_again():
    """Account 5 moved only in the orphaned block: its balance there is no longer true."""
    chain, follower = await started(Market())
    chain.mine(head(101), logs=[log(head(101), 5)])
    await follower.advance(head(101))
    new = chain.mine(head(101, "b", "a"), logs=[log(head(101, "b"), 6)])

    ((_, at, read),) = await follower.advance(new)

    assert (at, read) == (new.hash, [5, 6])


async def test_a_reorg_of_several_blocks_walks_back_to_the_fork():
    """Three blocks of one branch give way to four of another."""
    chain, follower = await started(Market())
    for number in (101, 102, 103):
        chain.mine(head(number), logs=[log(head(number), number)])
        await follower.advance(head(number))
    chain.mine(head(101, "b", "a"), logs=[log(head(101, "b"), 201)])
    for number in (102, 103, 104):
        chain.mine(head(number, "b"), logs=[log(head(number, "b"), number + 100)])

    ((_, _, read),) = await follower.advance(head(104, "b"))

    assert read == [101, 102, 103, 201, 202, 203, 204]


async def test_a_reorg_back_to_a_followed_block_reads_what_came_after_it():
    """The chain rolls back by one and has no new block yet."""
    chain, follower = await started(Market())
    for number in (101, 102):
        chain.mine(head(number), logs=[log(head(number), number)])
        await follower.advance(head(number))

    ((_, at, read),) = await follower.advance(head(101))

    assert (at, read) == (head(101).hash, [102])


async def test_a_reorg_below_the_loaded_block_is_undone_too():
    """The blocks before the start are asked for their logs, so that they can be taken back."""
    market = Market()
    chain = Chain()
    chain.mine(*(head(number) for number in range(101)), logs=[log(head(99), 5)])
    follower = Follower(chain, [market])
    await follower.start(head(100))
    chain.mine(head(99, "b", "a"), head(100, "b"), head(101, "b"), logs=[log(head(99, "b"), 7)])

    ((_, _, read),) = await follower.advance(head(101, "b"))

    assert (market.loads, read) == (1, [5, 7])
    assert follower.rebuild_news() == []


@pytest.mark.parametrize("depth", [64, DEPTH - 1])
async def test_a_reorg_of_any_remembered_depth_is_undone(depth):
    """Right after the start, and after as many followed blocks."""
    for followed in (0, depth):
        chain, follower = await started(Market(), first=200)
        for number in range(201, 201 + followed):
            chain.mine(head(number), logs=[log(head(number), number)])
            await follower.advance(head(number))
        tip = 200 + followed
        fork = tip - depth
        chain.mine(head(fork + 1, "b", "a"), *(head(n, "b") for n in range(fork + 2, tip + 2)))

        ((_, _, read),) = await follower.advance(head(tip + 1, "b"))

        assert read == list(range(201, 201 + followed))
        assert follower.rebuild_news() == []


async def test_a_deeper_reorg_reads_everything_anew_and_says_so():
    """The history, too: nobody knows how far back it is another one; whom it knew it keeps."""
    market, told = Market(), []
    chain, follower = await started(market, first=300)
    follower.reorged = told.append
    fork = 300 - DEPTH
    chain.mine(
        head(fork - 9, "b", "a"),
        *(head(number, "b") for number in range(fork - 8, 302)),
        logs=[log(head(fork - 9, "b"), 7)],
    )

    await follower.advance(head(301, "b"))

    assert (market.loads, market.loaded) == (2, [address(7)])
    assert told == [DEPTH]
    ((key, reason),) = follower.rebuild_news()
    assert key == "test:1"
    assert "below what is remembered" in reason


async def test_two_reorgs_in_a_row_are_undone():
    """From one branch to another, and to a third that forks lower, before anything settles."""
    chain, follower = await started(Market())
    for number in (101, 102, 103):
        chain.mine(head(number), logs=[log(head(number), number)])
        await follower.advance(head(number))
    new = chain.mine(head(103, "b", "a"), logs=[log(head(103, "b"), 5)])
    ((_, _, read),) = await follower.advance(new)
    assert read == [5, 103]
    chain.mine(head(102, "c", "a"), logs=[log(head(102, "c"), 6)])
    new = chain.mine(head(103, "c"))

    ((_, at, read),) = await follower.advance(new)

    assert (at, read) == (new.hash, [5, 6, 102])


@pytest.mark.parametrize("step", ["block_logs", "aggregate"])
@pytest.mark.parametrize("error", [SnapshotReorged("gone"), RpcUnavailable("silent")])
async def test_a_failed_advance_is_covered_by_the_next(step, error):
    """Account 5 moved in the block that could not be read."""
    chain, follower = await started(Market())
    chain.mine(head(101), logs=[log(head(101), 5)])
    chain.mine(head(102), logs=[log(head(102), 6)])
    chain.fail_next.append((step, error))

    with pytest.raises(type(error)):
        await follower.advance(head(101))
    ((_, _, read),) = await follower.advance(head(102))

    assert read == [5, 6]


async def test_headers_that_do_not_link_are_a_reorg_and_lose_nothing():
    """The node changed its mind while the gap was being read."""
    chain, follower = await started(Market())
    chain.mine(head(101), head(102), head(103), logs=[log(head(101), 5)])
    chain.blocks[102] = head(102, "b")

    with pytest.raises(SnapshotReorged):
        await follower.advance(head(103))
    chain.mine(head(102))
    ((_, _, read),) = await follower.advance(head(103))

    assert read == [5]


async def test_removed_logs_are_noted_too():
    """A log marked removed says that its account changed back."""
    chain, follower = await started(Market())
    chain.mine(head(101), logs=[replace(log(head(101), 5), removed=True)])

    ((_, _, read),) = await follower.advance(head(101))

    assert read == [5]


@pytest.mark.parametrize("step", ["discover", "load"])
async def test_a_market_that_cannot_start_is_quarantined_and_tried_again(step):
    """The other goes on meanwhile."""
    broken = Market(key="test:2", emitter=2, broken={step})
    chain, follower = await started(Market(), broken)

    assert follower.quarantined == {"test:2": f"{step} failed"}
    chain.mine(head(101))
    assert [read[0] for read in await follower.advance(head(101))] == ["test:1"]

    broken.broken.clear()
    chain.mine(*(head(number) for number in range(102, 105)))
    assert [read[0] for read in await follower.advance(head(104))] == ["test:1", "test:2"]
    assert follower.quarantined == {}


@pytest.mark.parametrize("step", ["refresh", "apply"])
async def test_a_market_that_fails_later_loses_no_log(step):
    """It rests for a few blocks, and what happened meanwhile stays noted."""
    market = Market()
    chain, follower = await started(market)
    market.broken.add(step)
    chain.mine(head(101), logs=[log(head(101), 5)])
    assert await follower.advance(head(101)) == []
    assert follower.quarantined == {"test:1": f"{step} failed"}

    market.broken.clear()
    chain.mine(head(102), logs=[log(head(102), 6)])
    ((_, _, read),) = await follower.advance(head(102))

    assert read == [5, 6]
    assert follower.quarantined == {}


def test_the_merged_filter_takes_what_any_filter_takes():
    """A filter without addresses or first topics widens the whole."""
    first = LogFilter(addresses=(address(1),), topics=((TOPIC,),))
    second = LogFilter(addresses=(address(2), address(1)), topics=((b"\x02" * 32,), (TOPIC,)))

    both = merged([first, second])

    assert both == LogFilter(addresses=(address(1), address(2)), topics=((TOPIC, b"\x02" * 32),))
    assert merged([first, LogFilter(addresses=())]) == LogFilter(addresses=())


async def test_a_far_node_is_asked_for_logs_and_reads_at_once():
    """Where a round trip takes long, the reads that the logs do not change go along with them."""
    chain, follower = await started(Market(), Market(key="test:2", emitter=2))
    follower.pace = FarAway()
    chain.mine(head(101), logs=[log(head(101), 5), log(head(101), 6, emitter=2)])
    chain.mine(head(102))

    read = await follower.advance(head(101))
    quiet = await follower.advance(head(102))

    assert [accounts for _, _, accounts in read] == [[5], [6]]
    assert [accounts for _, _, accounts in quiet] == [[], []]
    both = ["block_logs", "aggregate"]
    assert chain.asked == [*both, "aggregate", *both]


async def test_reads_that_were_begun_are_let_be_where_the_logs_fail():
    """The next head covers the block; nothing of what was begun is applied or left running."""
    chain, follower = await started(Market())
    follower.pace = FarAway()
    chain.mine(head(101), logs=[log(head(101), 5)])
    chain.mine(head(102))
    chain.fail_next.append(("block_logs", RpcUnavailable("no answer")))

    with pytest.raises(RpcUnavailable):
        await follower.advance(head(101))
    read = await follower.advance(head(102))

    assert [accounts for _, _, accounts in read] == [[5]]
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    ("seconds", "is_slow"),
    [((0.05, 0.05), False), ((0.05, 0.05, 0.05), True), ((0.05, 0.001, 0.05), False)],
)
def test_one_late_answer_does_not_make_a_node_far(seconds, is_slow):
    """A request more per block is spent only where each round trip takes long."""
    pace = Pace()
    for each in seconds:
        pace.note(each)

    assert pace.is_slow is is_slow


class FarAway(Pace):
    """A node whose every round trip takes long."""

    is_slow = True
