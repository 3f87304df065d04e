"""A book outlives its process: after any end, on any disk, it is what one made anew would be."""

import asyncio
import os
import resource
import sqlite3
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.book.file import SCHEMA, BookFile, NotUsable
from keeper.book.followed import LONG_GAP
from keeper.book.keeping import MOST_DELTAS, MOST_WAITING
from keeper.book.kept import FOUND, packed
from keeper.book.trail import DEPTH
from keeper.domain.errors import RpcUnavailable
from tests.flow.counting import CHAIN_ID, CountingChain, Process

HISTORY = 40


def chain_of(blocks=HISTORY):
    chain = CountingChain()
    for number in range(blocks):
        chain.grow([number % 7, number % 3])
    return chain


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keeper.book.sqlite"


async def followed(chain, path, blocks=5):
    """Return a process that followed some blocks and has kept the last."""
    process = await Process(chain, path).start()
    for number in range(blocks):
        chain.grow([number, 100 + number])
        await process.read()
        await process.written()
    return process


async def test_a_restart_reads_only_what_happened_since(path):
    """No history, no accounts that nobody touched: the next block is as any other."""
    chain = chain_of()
    process = await followed(chain, path)
    await process.stop()
    chain.grow([5])
    chain.asked.clear()

    again = await Process(chain, path).start()
    state = await again.read()
    await again.stop()

    assert again.market.loads == 0
    assert "scan_logs" not in chain.asked
    assert again.market.asked == [5]
    assert state == chain.counts(chain.tip.hash)
    assert again.follower.rebuild_news() == []


async def test_logs_of_blocks_before_a_restart_are_not_vouched_for(path):
    """Another version may have followed fewer of them; what this process followed is known."""
    chain = chain_of()
    process = await followed(chain, path)
    await process.stop()
    before = chain.tip.number
    chain.grow([5])

    again = await Process(chain, path).start()
    await again.read()
    market, tip = again.market, chain.tip
    own = again.follower.remembered(market.key, market.log_filter, tip.number, tip.hash)
    more = again.follower.remembered(market.key, market.log_filter, before, tip.hash)
    await again.stop()

    assert len(own) == 1
    assert more is None


@pytest.mark.parametrize("gap", [1, 9, DEPTH + 5])
async def test_what_was_missed_between_two_processes_is_followed(path, gap):
    """Whoever was named meanwhile, new ones too."""
    chain = chain_of()
    process = await followed(chain, path)
    await process.stop()
    for number in range(gap):
        chain.grow([number, 1_000 + number])

    again = await Process(chain, path).start()
    state = await again.read()
    await again.stop()

    assert again.market.loads == 0
    assert state == chain.counts(chain.tip.hash)


@pytest.mark.parametrize("depth", [1, 5, 30, 44])
async def test_a_reorganisation_across_a_restart_is_undone(path, depth):
    """The blocks that were kept are gone when the next process looks."""
    chain = chain_of()
    process = await followed(chain, path)
    await process.stop()
    chain.grow([77], fork=chain.tip.number - depth)
    chain.grow([78])

    again = await Process(chain, path).start()
    state = await again.read()
    await again.stop()

    assert again.market.loads == 0
    counts = chain.counts(chain.tip.hash)
    assert {one: count for one, count in state.items() if count} == counts


async def test_a_reorganisation_deeper_than_what_is_kept_reads_anew_and_says_so(path):
    """Nothing that was kept can be trusted then, but for the names."""
    chain = chain_of(DEPTH + 50)
    process = await followed(chain, path)
    await process.stop()
    chain.grow([77], fork=10)
    for _ in range(DEPTH + 60):
        chain.grow([78])

    again = await Process(chain, path).start()
    state = await again.read()
    ((_, reason),) = again.follower.rebuild_news()
    await again.stop()

    assert "reorganised" in reason
    assert {one: count for one, count in state.items() if count} == chain.counts(chain.tip.hash)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), st.lists(st.integers(0, 12), max_size=3)),
        st.tuples(st.just("fork"), st.integers(1, 20)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("stop"), st.just(0)),
        st.tuples(st.just("kill"), st.just(0)),
        st.tuples(st.just("outage"), st.just(0)),
        st.tuples(st.just("broken"), st.just(0)),
    ),
    min_size=4,
    max_size=24,
)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions)
async def test_whatever_happens_the_book_is_what_the_chain_says(tmp_path_factory, steps):
    """Blocks, forks, stops, kills, outages and broken reads in any order: none lost or doubled."""
    folder = tmp_path_factory.mktemp("book")
    chain = chain_of(25)
    process = await Process(chain, folder / "0.book").start()
    for number, (step, what) in enumerate(steps):
        if step == "grow":
            chain.grow(what)
        elif step == "fork":
            chain.grow([99], fork=max(0, chain.tip.number - what))
            chain.grow([])
        elif step == "read":
            await process.read()
        elif step == "outage":
            chain.fail_next.append(("aggregate", RpcUnavailable("silent")))
            with pytest.raises(RpcUnavailable):
                await process.read()
        elif step == "broken":
            process.market.broken.add("apply")
            await process.read()
            process.market.broken.clear()
        elif step == "stop":
            await process.written()
            await process.stop()
            process = await Process(chain, process.path).start()
        else:
            process = await process.killed(folder / f"{number + 1}.book")
            await process.start()
    state = None
    while state is None:  # a market that broke rests for some blocks
        chain.grow([3])
        state = await process.read()
    await process.stop()

    counts = chain.counts(chain.tip.hash)
    assert {one: count for one, count in state.items() if count} == counts
    assert process.market.loads <= 1


async def test_what_cannot_be_read_is_not_kept_as_if_it_had_been(path):
    """The market failed after its logs were noted: the file stays where it was."""
    chain = chain_of()
    process = await followed(chain, path)
    process.market.broken.add("apply")
    chain.grow([5])
    assert await process.read() is None
    again = await (await process.killed(path.with_name("copy"))).start()

    state = await again.read()
    await again.stop()

    assert state == chain.counts(chain.tip.hash)
    assert again.market.loads == 0


def damaged_in_the_middle(path):
    raw = bytearray(path.read_bytes())
    middle = raw.index(b'"address"')
    raw[middle + 200] ^= 0x40
    path.write_bytes(bytes(raw))


def cut_off(path):
    path.write_bytes(path.read_bytes()[: 3 * 4096 + 17])


def no_database(path):
    path.write_bytes(b"these are not the bytes of a database" * 100)


def newer(path):
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [damaged_in_the_middle, cut_off, no_database, newer])
async def test_a_file_that_cannot_be_used_is_set_aside(path, harm, caplog):
    """The book is made anew, says why, and is kept again."""
    chain = chain_of()
    process = await followed(chain, path)
    await process.stop()
    harm(path)
    harmed = path.read_bytes()

    again = await Process(chain, path).start()
    state = await again.read()
    await again.written()
    await again.stop()
    third = await Process(chain, path).start()
    await third.stop()

    assert state == chain.counts(chain.tip.hash)
    assert (again.market.loads, third.market.loads) == (1, 0)
    assert path.with_name(path.name + ".old").read_bytes()[:100] == harmed[:100]
    assert "book_rebuilt" in caplog.text


async def test_an_empty_file_is_begun(path):
    """As `touch` or a disk that was full leaves it."""
    empty(path)
    chain = chain_of()

    process = await followed(chain, path)

    assert process.follower.keeping.kept_block == chain.tip.number
    await process.stop()


async def test_a_file_of_another_chain_is_set_aside(path, caplog):
    """The same path for two networks: their accounts have nothing to do with each other."""
    chain = chain_of()
    process = await followed(chain, path)
    await process.stop()

    other = await Process(chain, path).start(chain_id=CHAIN_ID + 1)
    await other.stop()

    assert other.market.loads == 1
    assert f"it is of chain {CHAIN_ID}" in caplog.text


async def test_the_same_chain_id_on_another_chain_is_read_anew(path):
    """A local chain that was started again: no block that was kept is there."""
    chain = chain_of()
    process = await followed(chain, path)
    await process.stop()
    other = CountingChain(branches=40)
    for _ in range(HISTORY + 30):
        other.grow([200])

    again = await Process(other, path).start()
    state = await again.read()
    await again.stop()

    assert {one: count for one, count in state.items() if count} == other.counts(other.tip.hash)


async def test_another_programs_database_is_left_alone(path, caplog):
    """A path that was mistyped must not cost anybody a database."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (what TEXT)")
    connection.close()
    before = path.read_bytes()
    chain = chain_of()

    process = await Process(chain, path).start()
    await process.read()
    await process.stop()

    assert path.read_bytes() == before
    assert list(path.parent.glob("*.old")) == []
    assert "another program" in caplog.text
    assert process.follower.keeping.failing


def test_a_database_that_is_left_alone_is_not_kept_open(path):
    """Whoever refuses a file lets go of it."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (what TEXT)")
    connection.close()
    with pytest.raises(NotUsable) as caught:
        BookFile(path, CHAIN_ID)

    held = [str(Path(one.path).readlink()) for one in os.scandir("/proc/self/fd")]
    assert caught.value.__traceback__  # its frames are alive, and hold what was not closed
    assert str(path) not in held


async def test_two_processes_do_not_share_a_file(path, caplog):
    """The second goes without: an observer beside a live keeper."""
    chain = chain_of()
    first = await followed(chain, path)

    second = await Process(chain, path).start()
    state = await second.read()
    await second.stop()
    await first.stop()

    assert state == chain.counts(chain.tip.hash)
    assert "another keeper has the book's file" in caplog.text


async def test_other_contracts_let_only_the_accounts_be_read_anew(path):
    """Who borrowed is still true; the history is not read again."""
    chain = chain_of()
    process = await followed(chain, path)
    await process.stop()
    first_blocks = []
    scan = chain.scan_logs

    async def noted(wanted, first, last, took):
        first_blocks.append(first)
        await scan(wanted, first, last, took)

    chain.scan_logs = noted
    for _ in range(DEPTH + 10):
        chain.grow([])
    again = await Process(chain, path, form="counts\nother contracts").start()
    state = await again.read()
    ((_, reason),) = again.follower.rebuild_news()
    await again.stop()

    assert "contracts" in reason
    assert first_blocks == [max(0, HISTORY - 1 - DEPTH)]
    assert state == chain.counts(chain.tip.hash)


async def test_other_settings_let_everything_be_read_anew(path):
    """Other markets, or an earlier first block: somebody may be missing from the list."""
    chain = chain_of()
    process = await followed(chain, path)
    await process.stop()
    chain.asked.clear()

    again = await Process(chain, path, form="other settings\nthe same contracts").start()
    ((_, reason),) = again.follower.rebuild_news()
    await again.stop()

    assert "settings" in reason
    assert chain.asked.count("scan_logs") == 1
    assert again.market.state == chain.counts(chain.tip.hash)


@pytest.mark.parametrize(("kept", "wanted", "loads"), [("0", "5", 0), ("5", "5", 0), ("6", "5", 1)])
async def test_a_book_from_an_earlier_block_on_lacks_nobody(path, kept, wanted, loads):
    """A first block that was set to 0, and is found now; one that was too late is read anew."""
    chain = chain_of()
    await (await Process(chain, path, form=f"{kept} pool\nthe same").start()).stop()

    again = await Process(chain, path, form=f"{wanted} pool\nthe same").start()
    state = await again.read()
    await again.stop()

    assert again.market.loads == loads
    assert state == chain.counts(chain.tip.hash)


async def test_after_a_long_time_the_accounts_are_read_and_not_their_logs(path):
    """Millions of transfers, or one read of each account."""
    chain = chain_of()
    process = await followed(chain, path)
    kept = process.follower.keeping
    await process.stop()
    file = BookFile(path, CHAIN_ID)
    file.connection.execute("UPDATE market SET number = number - ?", (LONG_GAP + 1,))
    file.connection.commit()
    file.close()

    again = await Process(chain, path).start()
    ((_, reason),) = again.follower.rebuild_news()
    await again.stop()

    assert kept.kept_block == chain.tip.number
    assert "blocks have passed" in reason
    assert again.market.loads == 1


@contextmanager
def full_disk(free=0):
    """Let no file grow beyond what it is, nearly, as a disk without space."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_a_full_disk_costs_nothing_but_the_next_start(path, caplog):
    """The book goes on; when there is space again, everything that was missed is kept."""
    chain = chain_of()
    process = await followed(chain, path)
    kept_at = chain.tip.number
    with full_disk():
        for number in range(4):
            chain.grow([number])
            state = await process.read()
            await process.written()
            assert state == chain.counts(chain.tip.hash)
        assert process.follower.keeping.failing
        assert process.follower.keeping.failures >= 1
    assert process.follower.keeping.kept_block == kept_at
    for _ in range(4):
        chain.grow([6])
        await process.read()
        await process.written()
    assert not process.follower.keeping.failing
    assert process.follower.keeping.kept_block == chain.tip.number
    again = await (await process.killed(path.with_name("copy"))).start()
    state = await again.read()
    await again.stop()

    assert state == chain.counts(chain.tip.hash)
    assert again.market.loads == 0
    assert caplog.text.count("book_not_kept") == 1


async def test_a_disk_that_is_full_from_the_start_is_gone_without(path, caplog):
    """No file, a warning, and the keeper works."""
    chain = chain_of()
    with full_disk():
        process = await Process(chain, path).start()
    state = await process.read()
    await process.stop()

    assert state == chain.counts(chain.tip.hash)
    assert "book_not_kept" in caplog.text


@pytest.mark.parametrize("blocks", [MOST_WAITING + 10, MOST_DELTAS + 10])
async def test_many_changes_are_one_day_written_as_a_whole(path, blocks):
    """Neither a disk that is full for long nor a long life makes them pile up."""
    chain = chain_of()
    process = await followed(chain, path)
    waiting = process.follower.keeping.waiting["test:1"]
    for number in range(blocks):
        waiting.changed(process.market.to_arrays())
        if blocks > MOST_DELTAS and number % 100 == 0:
            waiting.on_disk += len(waiting.deltas)
            waiting.deltas.clear()
    assert len(waiting.deltas) <= MOST_WAITING
    chain.grow([1])
    await process.read()
    await process.written()
    await process.stop()

    connection = sqlite3.connect(path)
    ((deltas,),) = connection.execute("SELECT count(*) FROM delta")
    connection.close()
    again = await Process(chain, path).start()
    state = await again.read()
    await again.stop()
    assert deltas <= 1
    assert state == chain.counts(chain.tip.hash)


@pytest.mark.slow
async def test_a_start_that_was_killed_goes_on_where_it_was(path):
    """An hour of history is not read twice; who was found is not lost."""
    chain = chain_of(200)
    process = Process(chain, path)
    scan, seen = chain.scan_logs, []

    async def dies_half_way(wanted, first, last, took):
        seen.append(first)
        parts = []
        await scan(wanted, first, last, lambda logs, upto: parts.append((logs, upto)))
        for logs, upto in parts:
            took(logs, upto)
            await asyncio.sleep(0.01)
            if upto > 150 and len(seen) == 1:
                raise RpcUnavailable("gone")

    chain.scan_logs = dies_half_way
    with pytest.raises(RpcUnavailable):
        await process.start()
    again = await process.killed(path.with_name("copy"))
    await again.start()
    state = await again.read()
    await again.stop()

    assert seen[0] == 0
    assert 0 < seen[1] <= 151
    assert state == chain.counts(chain.tip.hash)


async def test_a_half_read_history_of_another_branch_does_not_count(path):
    """The block that it was read up to is gone: so may be what was found."""
    chain = chain_of(60)
    file = BookFile(path, CHAIN_ID)
    file.connection.execute(
        "INSERT INTO scan (market, form, arrays, first, covered_to, target, target_hash)"
        " VALUES ('test:1', 'counts', ?, 0, 50, 59, '0xgone')",
        (packed({FOUND: np.zeros((0, 20), dtype=np.uint8)}),),
    )
    file.connection.commit()
    file.close()

    process = await Process(chain, path).start()
    state = await process.read()
    await process.stop()

    assert state == chain.counts(chain.tip.hash)


async def test_nothing_is_kept_where_nothing_shall_be(tmp_path):
    """`[book] keep = false`."""
    chain = chain_of()
    process = await Process(chain, None).start()
    await process.read()
    await process.stop()

    assert process.follower.keeping.kept_block is None
    assert list(tmp_path.iterdir()) == []
