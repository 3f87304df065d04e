"""The docs name a test for every fault and guarantee; one without, or that is no test, is found."""

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.mutations import MUTATIONS, located
from tests.support.removal import Copy, marked_places, mutated

ROOT = Path(__file__).resolve().parents[2]
FAULTS = (ROOT / "docs" / "faults.md").read_text()
PROMISES = (ROOT / "docs" / "guarantees.md").read_text()
LISTS = {
    "guarantees": (PROMISES, [f"G{number}" for number in range(1, 37)]),
    "faults": (FAULTS, [f"F{number:02}" for number in range(1, 47)]),
}
LATER = frozenset({"G27", "F22", "F23", "F34", "F35", "F36"})
"""The only rows that may wait for work that is not done."""
COPIED_FROM = {
    change.place
    for mutation in MUTATIONS
    for change in mutation.changes.values()
    if isinstance(change, Copy)
}
"""Places that are marked because another one becomes what they are."""
NOT_BUILT = "needs what is not built:"
NOT_HERE = "cannot be made here:"

_ROW = re.compile(r"^\| ([GF]\d+) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[^`]+?\.py)::([^`]+?)`")
_TRACKER = re.compile(r"#\d|\bissue", re.IGNORECASE)


def read_rows(text):
    """What each number's rows say, put together where there are several."""
    rows = {}
    for number, said in _ROW.findall(text):
        rows[number] = f"{rows.get(number, '')} {said}".strip()
    return rows


def read_reason(said):
    """Why a row has no test, in its own words; nothing where it gives none."""
    return next((said[said.index(kind) :] for kind in (NOT_BUILT, NOT_HERE) if kind in said), "")


def find_gaps(text, listed):
    """What is wrong with a table: numbers that are missing, too much, or without a test."""
    rows = read_rows(text)
    gaps = [f"{number} has no row" for number in listed if number not in rows]
    gaps += [f"{number} is no number of the list" for number in rows if number not in listed]
    for number, said in rows.items():
        reason = read_reason(said)
        if not reason and not _TEST.search(said):
            gaps.append(f"{number} has neither a test nor a reason")
        if NOT_BUILT in said and number not in LATER:
            gaps.append(f"{number} may not wait for later work")
        if reason and not re.match(r"[^:]+: \S+ \S+", reason):
            gaps.append(f"{number} gives no reason in words")
        if _TRACKER.search(reason):
            gaps.append(f"{number} names a number of a tracker, and not the work")
    return gaps


NAMED = sorted(
    {
        (number, file, name)
        for text, _ in LISTS.values()
        for number, said in read_rows(text).items()
        for file, name in _TEST.findall(said)
    }
)


@pytest.fixture(scope="module")
def collected():
    """Every test of the files that are named, as pytest itself finds them."""
    files = sorted({file for _, file, _ in NAMED})
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "--collect-only", "-q"),
            *("-p", "no:cacheprovider", *files),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2_000:]
    return {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}


@pytest.mark.parametrize("table", LISTS)
def test_every_number_has_its_row_and_every_row_a_test_or_its_reason(table, capsys):
    """In the whole list, nothing is passed over in silence; how many rows have no test is said."""
    text, listed = LISTS[table]
    without = [number for number, said in read_rows(text).items() if not _TEST.search(said)]
    with capsys.disabled():
        count = f"{len(without)} of {len(listed)} rows without a test"
        sys.stdout.write(f"\n{table}: {count}: {', '.join(without)}\n")

    assert find_gaps(text, listed) == []
    assert list(read_rows(text)) == listed
    assert set(without) <= LATER


@pytest.mark.slow
@pytest.mark.parametrize("number", [one for _, listed in LISTS.values() for one in listed])
def test_a_row_that_is_taken_out_is_missed(number):
    """Or the check above would pass whatever the docs say."""
    text, listed = LISTS["guarantees" if number[0] == "G" else "faults"]
    left = "\n".join(one for one in text.splitlines() if not one.startswith(f"| {number} |"))

    assert find_gaps(left, listed) == [f"{number} has no row"]


@pytest.mark.parametrize(
    ("said", "gap"),
    [
        ("a fault | because", "F01 has neither a test nor a reason"),
        ("a fault | `tests/flow`", "F01 has neither a test nor a reason"),
        ("a fault | needs what is not built: private relays", "F01 may not wait for later work"),
        ("a fault | cannot be made here: ", "F01 gives no reason in words"),
        (
            "a fault | cannot be made here: see issue #12",
            "F01 names a number of a tracker, and not the work",
        ),
    ],
)
def test_a_row_that_says_nothing_is_a_gap(said, gap):
    """A row alone is no test, and there are two reasons only."""
    assert gap in find_gaps(f"| F01 | {said} |", ["F01"])


@pytest.mark.io
@pytest.mark.parametrize(("number", "file", "name"), NAMED)
def test_a_test_of_the_table_is_collected(number, file, name, collected):
    """Renamed, removed, or no test any more, it shows nothing."""
    wanted = f"{file}::{name}"
    assert any(fnmatch(one, wanted) or one.startswith(f"{wanted}::") for one in collected), (
        f"{number}: {wanted}"
    )


@pytest.fixture(scope="module")
def places():
    """What is marked in the tree."""
    return marked_places(ROOT)


def test_every_marker_belongs_to_one_mutation(places):
    """A marker that no mutation names, or two of a name, would be a promise that nobody tries."""
    named = [name for mutation in MUTATIONS for name in mutation.changes]

    assert {name: len(marks) for name, marks in places.items() if len(marks) != 1} == {}
    assert sorted(set(places) - set(named)) == sorted(COPIED_FROM)
    assert len(set(named)) == len(named)


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.guarantee} {one.what}")
def test_a_mutation_changes_its_marked_places(mutation, places):
    """Code that has moved on would be left as it is, and its tests pass for nothing."""
    texts = mutated(mutation, places)

    assert texts
    for path, text in texts.items():
        assert text != path.read_text()
        if path.suffix == ".py":
            compile(text, path, "exec")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.guarantee} {one.what}")
def test_the_tests_of_a_mutation_exist_once(mutation):
    """A name that is no test fails with the code and without it."""
    assert len(located(mutation.tests, ROOT)) == len(mutation.tests)
