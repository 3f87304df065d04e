"""Commands go on from the kept book, keep what they read, and harm no keeper's file."""

import asyncio
import fcntl
import multiprocessing
import os
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keeper.book.file import SCHEMA, BookFile
from keeper.book.follower import Follower
from keeper.book.keeping import Keeping
from keeper.book.locks import InUse, NotUsable
from keeper.book.trail import DEPTH
from keeper.book.visit import BOOK_STAGE, TROUBLE_STAGE, Visit
from keeper.book.visiting import VisitedFile
from tests.flow.counting import CHAIN_ID, CountingChain, CountingMarket, Process
from tests.flow.test_follower import log
from tests.flow.test_keeping import full_disk

HISTORY = 40


def chain_of(blocks=HISTORY):
    chain = CountingChain()
    for number in range(blocks):
        chain.grow([number % 7, number % 3])
    return chain


@pytest.fixture
def path(tmp_path):
    return tmp_path / "keeper.book.sqlite"


@dataclass
class Seen:
    """What a command read: the state by account, its lines, and the market with its counters."""

    state: dict
    told: list
    market: CountingMarket

    def words(self, stage):
        return [one.detail for one in self.told if one.stage == stage]


async def visited(chain, path, *, block=None, chain_id=CHAIN_ID, markets=None, **changes):
    """Read the market as a command does."""
    made = markets or [CountingMarket(chain=chain, **changes)]
    follower, told = Follower(chain, made), []
    visit = Visit(path, chain_id, told.append)
    await visit.read()
    head = await chain.head(block)
    async with visit.lent_to(follower, head, is_past=block is not None):
        await follower.start(head)
        snapshots = await follower.advance(head)
    return Seen(snapshots[0][2], told, made[0])


def rows(path):
    """Return everything that the file says, as SQLite reads it."""
    connection = sqlite3.connect(path)
    try:
        tables = ("about", "block", "market", "base", "delta", "scan", "structure_facts")
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)  # noqa: S608
            for name in tables
        }
    finally:
        connection.close()


def nonzero(state):
    return {one: count for one, count in state.items() if count}


async def test_a_second_command_reads_only_what_happened_since(path):
    """The first one read the history, and kept it."""
    chain = chain_of()
    first = await visited(chain, path)
    chain.grow([5])
    chain.asked.clear()

    second = await visited(chain, path)

    assert (first.market.loads, second.market.loads) == (1, 0)
    assert "scan_logs" not in chain.asked
    assert second.market.asked == [5]
    assert second.state == chain.counts(chain.tip.hash)
    assert second.words(BOOK_STAGE) == [f"from the kept book of block {HISTORY - 1} to block 40"]


async def test_a_keeper_starts_from_what_a_command_kept_and_the_other_way_round(path):
    """They share one file."""
    chain = chain_of()
    await visited(chain, path)
    process = await Process(chain, path).start()
    chain.grow([9])
    await process.read()
    await process.written()
    await process.stop()
    chain.grow([8])

    seen = await visited(chain, path)

    assert (process.market.loads, seen.market.loads) == (0, 0)
    assert seen.state == chain.counts(chain.tip.hash)


async def test_a_running_keepers_file_is_read_and_not_written(path):
    """The command sees its newest state; the keeper goes on as if nobody had looked."""
    chain = chain_of()
    process = await Process(chain, path).start()
    for number in range(5):
        chain.grow([number, 100 + number])
        await process.read()
        await process.written()
    before = rows(path)
    chain.grow([3, 200])

    seen = await visited(chain, path)
    after = rows(path)
    state = await process.read()
    await process.written()

    assert seen.market.loads == 0
    assert seen.state == state == chain.counts(chain.tip.hash)
    assert after == before
    assert process.follower.keeping.kept_block == chain.tip.number
    assert process.follower.keeping.failures == 0
    assert seen.words(TROUBLE_STAGE) == []
    await process.stop()


@pytest.mark.slow
async def test_a_command_beside_a_keeper_that_writes_all_the_time_reads_one_state(path):
    """Reading row after row would mix two states: each look is at one."""
    chain = chain_of()
    process = await Process(chain, path).start()
    await process.written()
    await process.read()
    await process.written()
    stop = False

    async def follow():
        number = 0
        while not stop:
            number += 1
            chain.grow([number % 50, 300 + number])
            await process.read()
            await process.written()
            await asyncio.sleep(0)

    following = asyncio.create_task(follow())
    for _ in range(10):
        seen = await visited(chain, path)
        assert seen.market.loads == 0
        assert seen.state == chain.counts((await last_of(seen)).hash)
    stop = True
    await following
    await process.stop()


async def last_of(seen):
    """Return the head that was read."""
    (line,) = seen.words(BOOK_STAGE)
    return seen.market.chain.blocks[int(line.rpartition(" ")[2])]


async def test_a_keeper_that_starts_while_a_command_writes_waits_for_it(path):
    """It must not go without a file for the whole of its life."""
    chain = chain_of()
    await visited(chain, path)
    visitor = BookFile(path, CHAIN_ID, visit=True)

    starting = asyncio.create_task(Process(chain, path).start())
    await asyncio.sleep(0.2)
    assert not starting.done()
    visitor.close()
    process = await starting

    assert process.follower.keeping.enabled
    await process.stop()


async def test_a_command_in_mid_history_does_not_keep_a_keeper_from_its_file(path):
    """What the first scan of a long history keeps in between is a keeper's start."""
    chain = chain_of(120)
    begun = asyncio.Event()
    go_on = asyncio.Event()
    scan = chain.scan_logs

    async def slow(wanted, first, last, took):
        await scan(wanted, first, min(last, first + 59), took)
        await asyncio.sleep(0.2)  # what was found is written
        begun.set()
        await go_on.wait()
        await scan(wanted, first + 60, last, took)

    chain.scan_logs = slow
    visiting = asyncio.create_task(visited(chain, path))
    await begun.wait()
    chain.scan_logs = scan
    process = await Process(chain, path).start()
    go_on.set()
    seen = await visiting
    await process.written()
    chain.grow([3])
    state = await process.read()
    await process.written()

    assert process.follower.keeping.kept_block == chain.tip.number
    assert process.follower.keeping.failures == 0
    assert seen.state == chain.counts(chain.blocks[119].hash)
    assert state == chain.counts(chain.tip.hash)
    await process.stop()
    again = await Process(chain, path).start()
    assert again.market.loads == 0
    await again.stop()


@pytest.mark.io
async def test_two_commands_at_once_leave_one_whole_state(path):
    """Whoever writes second leaves it alone; both answer."""
    chain = chain_of()
    first, second = await asyncio.gather(visited(chain, path), visited(chain, path))

    third = await visited(chain, path)

    assert first.state == second.state == third.state == chain.counts(chain.tip.hash)
    assert third.market.loads == 0
    assert [one.words(TROUBLE_STAGE) for one in (first, second, third)] == [[], [], []]


async def test_what_another_wrote_meanwhile_is_not_written_over(path):
    """A command that took long would set the file back."""
    chain = chain_of()
    await visited(chain, path)
    file = VisitedFile(path, CHAIN_ID)
    file.kept()
    chain.grow([1])
    await visited(chain, path)
    before = rows(path)

    follower = Follower(chain, [CountingMarket(chain=chain)])
    follower.keeping = Keeping(path, CHAIN_ID, lambda *_: file)
    await follower.start(chain.tip)
    await follower.advance(chain.tip)
    await follower.close()

    assert rows(path) == before
    assert file.is_busy


async def test_a_reorganisation_between_two_commands_is_undone(path):
    """As across a keeper's restart."""
    chain = chain_of()
    await visited(chain, path)
    chain.grow([77], fork=chain.tip.number - 12)
    chain.grow([78])

    seen = await visited(chain, path)
    third = await visited(chain, path)

    assert (seen.market.loads, third.market.loads) == (0, 0)
    assert nonzero(seen.state) == nonzero(third.state) == chain.counts(chain.tip.hash)


@pytest.mark.parametrize("back", [1, 30])
async def test_a_block_before_the_newest_is_read_from_the_kept_book(path, back):
    """What was touched since is read there again; the file stays where it is."""
    chain = chain_of()
    await visited(chain, path)
    before = rows(path)
    block = chain.tip.number - back

    seen = await visited(chain, path, block=block)

    assert seen.market.loads == 0
    assert nonzero(seen.state) == chain.counts(chain.blocks[block].hash)
    assert rows(path) == before
    assert seen.words(TROUBLE_STAGE) == []


async def test_a_block_before_the_kept_book_is_read_from_its_history_and_said(path):
    """The file is of no use, and is left alone."""
    chain = chain_of(DEPTH + 60)
    await visited(chain, path)
    before = rows(path)
    oldest = chain.tip.number - DEPTH + 1

    seen = await visited(chain, path, block=20)

    assert seen.market.loads == 1
    assert nonzero(seen.state) == chain.counts(chain.blocks[20].hash)
    assert rows(path) == before
    (line,) = seen.words(TROUBLE_STAGE)
    assert f"goes back to block {oldest}" in line


@pytest.mark.parametrize("behind", [1, 20])
async def test_a_kept_book_ahead_of_the_endpoint_is_not_set_back(path, behind):
    """A node that lags: the command answers at its block, and says that it keeps nothing."""
    chain = chain_of()
    await visited(chain, path)
    before = rows(path)
    newest, lagging = chain.tip, chain.blocks[chain.tip.number - behind]
    chain.tip = lagging

    seen = await visited(chain, path)

    assert nonzero(seen.state) == chain.counts(lagging.hash)
    assert rows(path) == before
    (line,) = seen.words(TROUBLE_STAGE)
    assert f"it is at block {newest.number}, after block {lagging.number}" in line


async def test_another_chain_of_the_same_id_does_not_take_the_file(path):
    """A wrong endpoint must not cost the keeper its book."""
    chain = chain_of()
    await visited(chain, path)
    before = rows(path)
    other = CountingChain(branches=40)
    for _ in range(HISTORY + 30):
        other.grow([200])

    seen = await visited(other, path)

    assert nonzero(seen.state) == other.counts(other.tip.hash)
    assert rows(path) == before
    (line,) = seen.words(TROUBLE_STAGE)
    assert "reorganised" in line


async def test_another_configurations_book_is_neither_used_nor_written(path):
    """`scan --set` with other markets lists other accounts."""
    chain = chain_of()
    await visited(chain, path)
    before = rows(path)

    seen = await visited(chain, path, form="other settings\nthe same contracts")

    assert seen.market.loads == 1
    assert seen.state == chain.counts(chain.tip.hash)
    assert rows(path) == before
    (line,) = seen.words(TROUBLE_STAGE)
    assert "other accounts" in line


async def test_a_book_with_another_market_is_not_moved_on(path):
    """Its blocks would lack that market's logs."""
    chain = chain_of()
    both = [CountingMarket(chain=chain), CountingMarket(chain=chain, key="test:2", emitter=2)]
    await visited(chain, path, markets=both)
    chain.grow([4])
    before = rows(path)

    seen = await visited(chain, path)

    assert seen.market.loads == 0
    assert seen.state == chain.counts(chain.tip.hash)
    assert rows(path) == before
    (line,) = seen.words(TROUBLE_STAGE)
    assert "test:2" in line


async def test_another_chains_file_is_left_where_it_is(path):
    """A keeper sets it aside; a command with a mistyped chain does not."""
    chain = chain_of()
    await visited(chain, path)
    before = rows(path)

    seen = await visited(chain, path, chain_id=CHAIN_ID + 1)

    assert seen.state == chain.counts(chain.tip.hash)
    assert rows(path) == before
    (line,) = seen.words(TROUBLE_STAGE)
    assert f"it is of chain {CHAIN_ID}" in line
    assert list(path.parent.glob("*.old")) == []


async def test_a_file_of_another_version_is_left_where_it_is(path):
    """The keeper that wrote it will want it."""
    chain = chain_of()
    await visited(chain, path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    before = path.read_bytes()

    seen = await visited(chain, path)

    assert seen.state == chain.counts(chain.tip.hash)
    assert path.read_bytes() == before
    (line,) = seen.words(TROUBLE_STAGE)
    assert f"form {SCHEMA + 1}" in line


async def test_a_file_of_the_last_version_is_gone_on_from(path):
    """It has no table of structures; what a command adds, that version leaves alone."""
    chain = chain_of()
    await visited(chain, path)
    connection = sqlite3.connect(path)
    for table in ("structure_state", "structure_facts", "origin", "fact"):
        connection.execute(f"DROP TABLE {table}")
    connection.close()
    chain.grow([3])

    seen = await visited(chain, path)

    assert seen.market.loads == 0
    assert seen.state == chain.counts(chain.tip.hash)
    assert rows(path)["structure_facts"] == []


async def test_another_programs_database_is_left_alone(path):
    """A path that was mistyped must not cost anybody a database."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE precious (what TEXT)")
    connection.close()
    before = path.read_bytes()
    chain = chain_of()

    seen = await visited(chain, path)

    assert seen.state == chain.counts(chain.tip.hash)
    assert path.read_bytes() == before
    assert "another program" in seen.words(TROUBLE_STAGE)[0]


def damaged_in_the_middle(path):
    raw = bytearray(path.read_bytes())
    middle = raw.index(b'"address"')
    raw[middle + 200] ^= 0x40
    path.write_bytes(bytes(raw))


def cut_off(path):
    path.write_bytes(path.read_bytes()[: 3 * 4096 + 17])


def no_database(path):
    path.write_bytes(b"these are not the bytes of a database" * 100)


@pytest.mark.parametrize("harm", [damaged_in_the_middle, cut_off, no_database])
async def test_a_damaged_file_is_set_aside_and_said(path, harm):
    """Whoever only scans would read the history each time."""
    chain = chain_of()
    await visited(chain, path)
    harm(path)
    harmed = path.read_bytes()

    seen = await visited(chain, path)
    again = await visited(chain, path)

    assert seen.state == again.state == chain.counts(chain.tip.hash)
    assert (seen.market.loads, again.market.loads) == (1, 0)
    assert path.with_name(path.name + ".old").read_bytes()[:100] == harmed[:100]
    assert "damaged" in seen.words(TROUBLE_STAGE)[0]


async def test_a_damaged_file_that_a_keeper_has_is_left_to_it(path):
    """It will notice at its next start; its process goes on writing meanwhile."""
    chain = chain_of()
    await visited(chain, path)
    no_database(path)
    lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    before = path.read_bytes()

    seen = await visited(chain, path)
    os.close(lock)

    assert seen.state == chain.counts(chain.tip.hash)
    assert path.read_bytes() == before
    assert "damaged" in seen.words(TROUBLE_STAGE)[0]


async def test_what_a_killed_command_read_of_a_history_is_gone_on_from(path):
    """What it had kept by then is not read again."""
    chain = chain_of(2 * DEPTH)
    firsts = []
    scan = chain.scan_logs

    async def half(wanted, first, last, took):
        for start in range(first, 2 * DEPTH - 20, 60):
            await scan(wanted, start, start + 59, took)
            await asyncio.sleep(0.1)  # until it is written
        raise asyncio.CancelledError

    chain.scan_logs = half
    with pytest.raises(asyncio.CancelledError):
        await visited(chain, path)

    async def noted(wanted, first, last, took):
        firsts.append(first)
        await scan(wanted, first, last, took)

    chain.scan_logs = noted
    seen = await visited(chain, path)

    assert seen.state == chain.counts(chain.tip.hash)
    assert firsts[0] > 0


def kill_in_mid_write(path, begun):
    """Hold the file as a command does that is writing, for ever."""
    file = BookFile(path, CHAIN_ID, visit=True)
    file.connection.execute("BEGIN IMMEDIATE")
    file.connection.execute("DELETE FROM market")
    begun.set()
    asyncio.run(asyncio.sleep(60))


@pytest.mark.io
async def test_a_command_killed_while_it_writes_leaves_the_state_before(path):
    """Neither its locks nor half of a state stay."""
    chain = chain_of()
    await visited(chain, path)
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    process = context.Process(target=kill_in_mid_write, args=(path, begun))
    process.start()
    assert await asyncio.to_thread(begun.wait, 60)
    process.kill()
    process.join()
    chain.grow([1])

    keeper = await Process(chain, path).start()
    state = await keeper.read()
    await keeper.stop()

    assert keeper.market.loads == 0
    assert state == chain.counts(chain.tip.hash)


def test_only_one_has_the_file_at_a_time(path):
    """A keeper has it for life, a command for as long as it writes."""
    keeper = BookFile(path, CHAIN_ID)
    with pytest.raises(InUse):
        BookFile(path, CHAIN_ID, visit=True)
    with pytest.raises(NotUsable):
        BookFile(path, CHAIN_ID)
    keeper.close()
    command = BookFile(path, CHAIN_ID, visit=True)
    with pytest.raises(InUse):
        BookFile(path, CHAIN_ID, visit=True)
    command.close()
    BookFile(path, CHAIN_ID).close()


async def test_nothing_is_kept_where_nothing_shall_be(tmp_path):
    """`[book] keep = false`."""
    chain = chain_of()

    seen = await visited(chain, None)

    assert seen.state == chain.counts(chain.tip.hash)
    assert list(tmp_path.iterdir()) == []


def blank(path):
    """Leave what a process leaves that is killed before its first table, or is about to make it."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert path.stat().st_size > 0


async def test_a_file_without_a_table_is_begun(path):
    """It is nobody's database: neither a command nor a keeper goes without a file for it."""
    chain = chain_of()
    blank(path)
    seen = await visited(chain, path)
    again = await visited(chain, path)
    other = path.with_name("other.sqlite")
    blank(other)
    process = await Process(chain, other).start()

    assert (seen.market.loads, again.market.loads) == (1, 0)
    assert seen.words(TROUBLE_STAGE) == []
    assert process.follower.keeping.enabled
    await process.stop()


async def test_a_folder_that_is_not_there_costs_only_the_keeping(tmp_path):
    """A path that is set before its folder is made."""
    chain = chain_of()

    seen = await visited(chain, tmp_path / "none" / "keeper.book.sqlite")

    assert seen.state == chain.counts(chain.tip.hash)
    assert "not kept" in seen.words(TROUBLE_STAGE)[0]


NOBODY = 65_534


def visit_as_nobody(path, blocks, answers):
    """Read the market as a user who may not write beside the file."""
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    seen = asyncio.run(visited(chain_of(blocks), path))
    answers.put((seen.market.loads, seen.state, seen.words(TROUBLE_STAGE)))


def read_only_answer(path, blocks):
    """Return what such a user gets, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=visit_as_nobody, args=(path, blocks, answers))
    process.start()
    answer = answers.get(timeout=60)
    process.join()
    return answer


@pytest.fixture
def open_folder():
    """A folder that others may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="keeper-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def only_readable(folder):
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


@pytest.mark.io
@pytest.mark.parametrize("is_running", [False, True])
async def test_a_read_only_folder_is_read_and_said(open_folder, is_running):
    """Whether SQLite's own files lie beside the book or not."""
    path = open_folder / "keeper.book.sqlite"
    chain = chain_of()
    process = await Process(chain, path).start()
    await process.written()
    await process.read()
    await process.written()
    if not is_running:
        await process.stop()
    only_readable(open_folder)
    names = {file.name for file in open_folder.iterdir()}

    loads, state, told = await asyncio.to_thread(read_only_answer, path, HISTORY)

    assert {file.name for file in open_folder.iterdir()} == names
    assert (loads, state) == (0, chain.counts(chain.tip.hash))
    (line,) = told
    assert line.startswith("what was read is not kept: ")
    if is_running:
        await process.stop()


@pytest.mark.io
async def test_a_file_that_may_not_be_read_costs_only_the_time(open_folder):
    """Another user's keeper: the history is read, and that is said."""
    path = open_folder / "keeper.book.sqlite"
    await visited(chain_of(), path)
    path.chmod(0)

    if os.geteuid() != 0:
        pytest.skip("a file's owner may always")
    loads, state, told = await asyncio.to_thread(read_only_answer, path, HISTORY)

    chain = chain_of()
    assert (loads, state) == (1, chain.counts(chain.tip.hash))
    assert "cannot be read" in told[0]


async def test_what_root_makes_belongs_to_whom_the_folder_does(open_folder):
    """A keeper that runs as its own user must be able to open it afterwards."""
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(open_folder, NOBODY, NOBODY)
    path = open_folder / "keeper.book.sqlite"

    await visited(chain_of(), path)

    assert {file.stat().st_uid for file in open_folder.iterdir()} == {NOBODY}


async def test_a_full_disk_costs_only_the_keeping(path):
    """The command answers, and says that the next one will take as long."""
    chain = chain_of()
    with full_disk():
        seen = await visited(chain, path)

    again = await visited(chain, path)

    assert seen.state == again.state == chain.counts(chain.tip.hash)
    (line,) = seen.words(TROUBLE_STAGE)
    assert line.startswith("what was read is not kept: ")


steps_of_use = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), st.lists(st.integers(0, 12), max_size=3)),
        st.tuples(st.just("fork"), st.integers(1, 20)),
        st.tuples(st.just("start"), st.just(0)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("stop"), st.just(0)),
        st.tuples(st.just("visit"), st.just(0)),
        st.tuples(st.just("look back"), st.integers(1, 30)),
        st.tuples(st.just("others"), st.just(0)),
    ),
    min_size=4,
    max_size=24,
)


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps_of_use)
async def test_whoever_uses_the_file_in_any_order_reads_what_the_chain_says(
    tmp_path_factory, steps
):
    """Keepers and commands, reorganisations, earlier blocks and other settings between."""
    path = tmp_path_factory.mktemp("book") / "keeper.book.sqlite"
    chain, process = chain_of(25), None
    await visited(chain, path)
    for step, what in [*steps, ("visit", 0)]:
        if step == "grow":
            chain.grow(what)
        elif step == "fork":
            chain.grow([99], fork=max(0, chain.tip.number - what))
            chain.grow([])
        elif step == "start" and process is None:
            process = await Process(chain, path).start()
        elif step == "read" and process is not None:
            assert nonzero(await process.read()) == chain.counts(chain.tip.hash)
        elif step == "stop" and process is not None:
            await process.stop()
            process = None
        elif step in ("visit", "look back", "others"):
            block = max(0, chain.tip.number - what)
            past = {"block": block} if step == "look back" else {}
            form = {"form": "other settings\n"} if step == "others" else {}
            seen = await visited(chain, path, **past, **form)
            assert nonzero(seen.state) == chain.counts(chain.blocks[block].hash)
    if process is not None:
        assert process.follower.keeping.failures == 0
        await process.stop()
    last = await Process(chain, path).start()
    assert nonzero(await last.read()) == chain.counts(chain.tip.hash)
    assert last.market.loads == 0
    await last.stop()


async def test_a_market_that_was_left_out_for_some_blocks_misses_none_of_its_logs(path):
    """The blocks that were followed without it have none of its logs."""
    chain = chain_of()

    def both():
        second = CountingMarket(chain=chain, key="test:2", emitter=2)
        return [CountingMarket(chain=chain), second]

    async def process(markets):
        follower = Follower(chain, markets)
        follower.keeping = Keeping(path, CHAIN_ID)
        await follower.start(await chain.head())
        await follower.advance(chain.tip)
        await follower.close()
        return markets

    made = chain.grow()
    chain.logs[made.hash].append(log(made, 500, emitter=2))
    await process(both())
    made = chain.grow([4])
    chain.logs[made.hash].append(log(made, 501, emitter=2))
    await process(both()[:1])
    chain.grow([5])

    first, second = await process(both())

    counts = chain.counts(chain.tip.hash)
    assert (first.loads, second.loads) == (0, 0)
    assert second.state == {account: counts[account] for account in (500, 501)}
    assert first.state == {one: count for one, count in counts.items() if one < 500}
