"""A revert's reason says whether somebody was faster, the market moved, or something is wrong."""

import pytest

from keeper.domain.failure import FailureKind, classify_failure, has_defect

WHOLE = "the whole transaction reverted: "
ACCOUNT = "0x" + "1" * 40


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (f"NotLiquidatable({ACCOUNT}, 1000000000000000000)", FailureKind.RACE),
        (f"{WHOLE}nothing worked: NotLiquidatable({ACCOUNT}, 1)", FailureKind.RACE),
        ("HealthFactorNotBelowThreshold()", FailureKind.RACE),
        ("SpecifiedCurrencyNotBorrowedByUser()", FailureKind.RACE),
        ("45", FailureKind.RACE),
        ("47", FailureKind.RACE),
        ("position is healthy", FailureKind.RACE),
        ("BelowMinProfit(1, 2)", FailureKind.MOVED),
        ("SaleBelowFloor(1, 2)", FailureKind.MOVED),
        (f"Shortfall({ACCOUNT}, 2, 1)", FailureKind.MOVED),
        (f"{WHOLE}others traded in its pools in the same block", FailureKind.MOVED),
        ("DeadlinePassed(1, 2)", FailureKind.LATE),
        ("the whole transaction reverted", FailureKind.DEFECT),
        (f"{WHOLE}out of gas", FailureKind.DEFECT),
        (f"{WHOLE}it would have worked after the others of its block", FailureKind.DEFECT),
        ("UnknownModule(9)", FailureKind.DEFECT),
        ("the executor did not report it", FailureKind.DEFECT),
        ("49", FailureKind.DEFECT),
        ("", FailureKind.DEFECT),
    ],
)
def test_each_reason_has_its_kind(reason, kind):
    """A lost race must not switch the keeper off, and a defect must not pass for a race."""
    assert classify_failure(reason) is kind


def test_a_batch_is_a_defect_if_one_of_its_plans_is():
    """Several reasons are listed in order; the worst of them counts."""
    race, moved = f"NotLiquidatable({ACCOUNT}, 1)", "BelowMinProfit(1, 2)"

    assert classify_failure(f"{WHOLE}nothing worked: {race}; {race}") is FailureKind.RACE
    assert classify_failure(f"{WHOLE}nothing worked: {race}; {moved}") is FailureKind.MOVED
    assert classify_failure(f"{WHOLE}nothing worked: {race}; Panic(17)") is FailureKind.DEFECT


def test_a_list_that_was_cut_off_is_judged_by_what_is_left():
    """Reasons are kept to 240 characters: twelve lost races are still races."""
    many = "; ".join([f"NotLiquidatable({ACCOUNT}, 1)"] * 12)

    for length in range(len(WHOLE) + 80, 239):
        reason = f"{WHOLE}nothing worked: {many}"[:length] + "…"
        assert classify_failure(reason) is FailureKind.RACE


def test_one_defect_among_successes_and_races_is_enough():
    """An empty reason is a plan that worked."""
    assert not has_defect(["", f"NotLiquidatable({ACCOUNT}, 1)"])
    assert has_defect(["", "Panic(17)"])
