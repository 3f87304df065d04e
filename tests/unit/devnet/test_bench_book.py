"""The book's benchmark at a small size: what it says, and that it says it as JSON too."""

import json

import pytest

from keeper.devnet import bench, bench_book
from keeper.devnet.bench_book import Row

SMALL = ["book", "--accounts", "3000", "--samples", "2"]


def row(ratio, *, at_most):
    return Row(
        name="n",
        unit="ms",
        measured=1.0,
        limit_name="l",
        limit=1.0,
        ratio=ratio,
        target=10.0,
        at_most=at_most,
    )


def test_a_target_is_met_on_its_own_side():
    """Ten times the copy is the most, thirty times the library's speed the least."""
    assert row(10.0, at_most=True).met
    assert not row(10.1, at_most=True).met
    assert row(30.0, at_most=False).met
    assert not row(9.9, at_most=False).met


@pytest.mark.io
def test_each_figure_stands_beside_its_limit(capsys):
    """One document: the block's parts add up to it, the limit is of the same run."""
    assert bench.main([*SMALL, "--only", "pass", "memory", "stress", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    block, memory, stress = told["rows"]

    assert told["accounts"] == 3_000
    assert block["measured"] > 0 < block["limit"]
    assert block["ratio"] == pytest.approx(block["measured"] / block["limit"], rel=0.01)
    assert block["met"] is (block["ratio"] <= block["target"])
    assert block["parts"]["nominated"] >= block["parts"]["past the line"] > 0
    assert memory["limit"] == 68
    assert stress["parts"]["accounts that would cross"] > 0


@pytest.mark.slow
def test_the_table_says_whether_a_target_is_met(capsys):
    """In words, with the target."""
    assert bench.main([*SMALL, "--only", "pass"]) == 0
    told = capsys.readouterr().out

    assert "copying the columns it reads" in told
    assert "target: at most 10, " in told


def test_every_row_has_its_module():
    """A name in the table that does not measure anything would only fail when it is asked for."""
    for name in bench_book.MODULES:
        assert callable(bench_book.import_measure(name))
