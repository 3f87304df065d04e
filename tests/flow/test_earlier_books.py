"""A book's file of an earlier program is taken up: nobody is read anew, nothing is missing."""

import sqlite3
from pathlib import Path

from keeper.book.kept import unpacked
from tests.flow.counting import CountingChain, Process

STORED = Path(__file__).resolve().parents[1] / "data" / "books" / "without_coverage.sql"
"""What a program wrote that knew of neither coverage, kept structures nor facts of the chain."""
HISTORY, FOLLOWED = 8, 3


def chain_of_the_book():
    """Return the chain as it was when that program ended."""
    chain = CountingChain()
    for number in range(HISTORY):
        chain.grow([number % 7, number % 3])
    for number in range(FOLLOWED):
        chain.grow([number, 100 + number])
    return chain


def restored(folder):
    """Write the stored book back as the file that it was."""
    path = folder / "keeper.book.sqlite"
    with sqlite3.connect(path) as rows:
        rows.executescript(STORED.read_text())
    rows.close()
    return path


def tables(path):
    rows = sqlite3.connect(path)
    names = {name for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    rows.close()
    return names


async def test_a_book_without_coverage_is_taken_up_whole(tmp_path):
    """No history, no account read again but those of new blocks; all that was kept is known."""
    path, chain = restored(tmp_path), chain_of_the_book()
    assert "coverage" not in tables(path)
    chain.grow([5, 200])

    process = await Process(chain, path).start()
    state = await process.read()
    news = process.follower.rebuild_news()
    await process.stop()

    assert process.market.loads == 0
    assert "scan_logs" not in chain.asked
    assert news == []
    assert state == chain.counts(chain.tip.hash)


async def test_what_is_written_to_such_a_book_is_read_by_the_next_process(tmp_path):
    """Its tables are completed, and its accounts stay."""
    path, chain = restored(tmp_path), chain_of_the_book()
    for number in range(3):
        process = await Process(chain, path).start()
        chain.grow([number, 300 + number])
        state = await process.read()
        await process.stop()

        assert process.market.loads == 0
        assert state == chain.counts(chain.tip.hash)
    assert {"coverage", "fact", "origin"} <= tables(path)
    rows = sqlite3.connect(path)
    arrays = [unpacked(raw) for (raw,) in rows.execute("SELECT arrays FROM base")]
    rows.close()
    assert arrays
