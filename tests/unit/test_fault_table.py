"""The docs name a test for every fault and guarantee; a name that is no test is found here."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.mutations import MUTATIONS

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "faults.md"
PROMISES = ROOT / "docs" / "guarantees.md"
PROMISED = [f"G{number}" for number in (*range(1, 27), *range(28, 34))]
LISTED = [f"F{number:02}" for number in (*range(1, 22), 24, 25, *range(30, 34), 37, 40, 44, 45, 46)]

_ROW = re.compile(r"^\| (F\d\d) \| (.+?) \| (.+) \|$", re.MULTILINE)
_PROMISE = re.compile(r"^\| (G\d+) \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/\S+?\.py)::(\S+?)`")
_DEFINED = re.compile(r"^(?:async )?def (test_\w+)|^(Test\w+) =", re.MULTILINE)

ROWS = {number: tests for number, _, tests in _ROW.findall(TABLE.read_text())}
PROMISE_ROWS = dict(_PROMISE.findall(PROMISES.read_text()))
NAMED = [
    (number, *each)
    for number, tests in (ROWS | PROMISE_ROWS).items()
    for each in _TEST.findall(tests)
]


def test_every_fault_has_its_row():
    """One that was forgotten would look like one that is tested."""
    assert sorted(ROWS) == LISTED


def test_every_guarantee_has_its_row():
    """In the order of their numbers."""
    assert list(PROMISE_ROWS) == PROMISED


def test_every_row_names_a_test_or_says_why_there_is_none():
    """Nothing is passed over in silence."""
    told = {number for number, *_ in NAMED}

    assert [number for number in ROWS if number not in told and "because" not in ROWS[number]] == []


@pytest.mark.parametrize(("number", "file", "name"), NAMED)
def test_a_test_of_the_table_exists(number, file, name):
    """Renamed or removed, it shows nothing any more."""
    path = ROOT / file
    assert path.is_file(), f"{number}: {file}"
    defined = [one for each in _DEFINED.findall(path.read_text()) for one in each if one]

    assert any(fnmatch(one, name) for one in defined), f"{number}: {file}::{name}"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.guarantee} {one.what}")
def test_a_mutation_has_its_one_place(mutation):
    """Code that has moved on would be left as it is, and its tests pass for nothing."""
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
