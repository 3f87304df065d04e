"""The verdict on a played crash: what is held to its prediction, and what explains the rest."""

from dataclasses import replace

import pytest

from keeper.devnet.crash.books import Balances, Books, Cause, Row, with_fellows
from keeper.devnet.crash.report import as_document, as_text

ETHER = 10**18
EXACT = Row(
    account="0x01",
    transaction="0xaa",
    planned_block=5,
    landed_block=6,
    predicted=ETHER,
    realised=ETHER,
    with_planned_fee=ETHER,
)
EVEN = Balances(received={}, booked={}, paid_wei=7, booked_wei=7, left_waiting=0)
OFF = 98 * ETHER // 100


def books(*rows, balances=EVEN):
    return Books(rows=rows, balances=balances, blocks=9, full=1)


@pytest.mark.parametrize(
    ("changes", "right"),
    [
        ({}, True),
        ({"realised": 99 * ETHER // 100}, True),
        ({"realised": OFF}, False),
        ({"realised": OFF, "moved": Cause.PRICE}, True),
        ({"realised": OFF, "moved": Cause.POOL}, True),
        ({"realised": OFF, "landed_block": 7}, True),
        ({"realised": OFF, "landed_block": 7, "with_planned_fee": OFF}, False),
        ({"failure": "Panic(17)"}, False),
        ({"failure": "Panic(17)", "landed_block": 7}, False),
        ({"failure": "Panic(17)", "moved": Cause.PRICE}, True),
    ],
)
def test_a_plan_is_right_if_it_is_exact_or_something_moved(changes, right):
    """Waiting explains what the base fee costs, and nothing else."""
    found = books(EXACT, replace(EXACT, **changes))

    assert found.is_right is right
    assert bool(found.unexplained) is not right


@pytest.mark.parametrize(
    "balances",
    [
        replace(EVEN, paid_wei=8),
        replace(EVEN, received={"USDC": 1}),
        replace(EVEN, left_waiting=1),
    ],
)
def test_balances_that_differ_from_the_journal_are_not_right(balances):
    """Whatever single plans say."""
    found = books(EXACT, balances=balances)

    assert not found.is_right
    assert "not as booked" in as_text(found)


def test_plans_that_something_moved_under_are_in_lines_of_their_own():
    """So that the line of the others is what the keeper's own reckoning is worth."""
    moved = replace(EXACT, realised=2 * ETHER, moved=Cause.PRICE)
    lines = {line["name"]: line for line in as_document(books(EXACT, moved))["lines"]}

    assert (lines["all"]["plans"], lines["all"]["worst_bps"]) == (2, 10_000)
    assert (lines["nothing else moved"]["plans"], lines["nothing else moved"]["worst_bps"]) == (
        1,
        0,
    )
    assert lines["a feed moved"]["exact"] == 0


@pytest.mark.parametrize("how", [{"failure": "Panic(17)"}, {}], ids=["failed", "moved"])
@pytest.mark.parametrize(
    ("where", "explains"),
    [
        ({"transaction": "0xaa"}, True),
        ({"transaction": "0xbb", "landed_block": 6}, True),
        ({"transaction": "0xbb", "landed_block": 5}, False),
        ({"transaction": "0xbb", "landed_block": 7}, False),
    ],
)
def test_a_plan_that_was_moved_leaves_other_pools_and_gas(how, where, explains):
    """Before the head that the other was planned at, or after its block, it changes nothing."""
    first = replace(EXACT, account="0x02", moved=Cause.PRICE, **how, **where)

    _, second = with_fellows([first, EXACT])
    behind, _ = with_fellows([EXACT, first])

    assert second.cause is (Cause.FELLOW if explains else Cause.NOTHING)
    is_beside = first.transaction == EXACT.transaction
    assert behind.cause is (Cause.FELLOW if is_beside else Cause.NOTHING)


def test_a_failed_plan_does_not_explain_itself():
    """Nor does one that failed without a cause explain another that did."""
    (alone,) = with_fellows([replace(EXACT, failure="Panic(17)")])

    assert alone.cause is Cause.NOTHING
    assert not books(alone).is_right
