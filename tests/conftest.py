"""
How property tests draw their examples, what marks tests have, and the watch over secrets.

The examples are the same on every machine, without a deadline;
``scripts/test tests/unit --hypothesis-profile search`` looks for new ones.

``tests/support/canaries.py`` says which secrets are looked for, and where.
"""

import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import canaries
from tests.support.quiet import WATCH

ROOT = Path(__file__).parent

# A slow machine is no counterexample.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("search", PATIENT)
settings.register_profile("repeatable", PATIENT, derandomize=True, database=None)
settings.load_profile("repeatable")

# Settings with a key in them have to be private; tests of what the keeper writes set their own.
os.umask(0o077)


FOLDERS = {
    "chain": ("io", "chain"),
    "endpoints": ("io",),
    "faults": ("io", "chain"),
    "invariants": ("io", "slow"),
    "notify": ("io",),
    "process": ("io",),
}
"""Marks that every test of a folder has; elsewhere a test that needs them is marked itself."""
LOUD = frozenset({"io", "chain"})

COLLECTED = pytest.StashKey[list[tuple[Path, bool]]]()
"""Of every collected test, before any is left out: its file, and whether ``--quick`` has it."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark by folder, and begin with what takes longest: several workers then end together."""
    for item in items:
        for mark in FOLDERS.get(item.path.relative_to(ROOT).parts[0], ()):
            item.add_marker(mark)
    config.stash[COLLECTED] = [
        (item.path, not any(_has(item, mark) for mark in (*LOUD, "slow"))) for item in items
    ]
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[float, bool, bool]:
    early = item.get_closest_marker("early")
    place = early.args[0] if early else math.inf
    return place, not _has(item, "chain"), not _has(item, "io")


def _has(item: pytest.Item, mark: str) -> bool:
    return item.get_closest_marker(mark) is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Let a test that is not marked ``io`` open no socket and start no process."""
    WATCH.begin(quiet=not any(_has(item, mark) for mark in LOUD))
    try:
        return (yield)
    finally:
        WATCH.end()


@pytest.fixture(scope="session", autouse=True)
def no_secret_is_written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Look at everything that the suite wrote, when all of it is written."""
    with pytest.MonkeyPatch.context() as patch:
        canaries.watch(patch)
        canaries.mark(canaries.ENDPOINT_KEY, "the endpoint's key")
        yield
    found = canaries.leaking_files(tmp_path_factory.getbasetemp())
    assert not found, "files hold a secret: " + "; ".join(found)


@pytest.fixture(autouse=True)
def logging_is_as_it_was() -> Iterator[None]:
    """Undo what a command that ran in this process set for its own logs."""
    yield
    ours, root = logging.getLogger("keeper"), logging.getLogger()
    ours.setLevel(logging.NOTSET)
    root.setLevel(logging.WARNING)
    root.handlers = [one for one in root.handlers if type(one) is not logging.StreamHandler]
    logging.captureWarnings(capture=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """Fail a test whose captured output or log holds a secret, and a loud one without its mark."""
    report: pytest.TestReport = yield
    if report.when == "teardown" and (heard := WATCH.end()):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} is not marked io, and did: {', '.join(heard)}"
    found = canaries.leaking_sections(report.sections) if report.when == "teardown" else []
    if found:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} gave a secret away: {'; '.join(found)}"
    return report
