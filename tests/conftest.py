"""
How property tests draw their examples, and the watch over secrets.

The examples are the same on every machine, without a deadline;
``scripts/test tests/unit --hypothesis-profile search`` looks for new ones.

``tests/support/canaries.py`` says which secrets are looked for, and where.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import canaries

ROOT = Path(__file__).parent

# A slow machine is no counterexample.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("search", PATIENT)
settings.register_profile("repeatable", PATIENT, derandomize=True, database=None)
settings.load_profile("repeatable")

# Settings with a key in them have to be private; tests of what the keeper writes set their own.
os.umask(0o077)


LONGEST = (
    "chain/test_following.py",
    "chain/test_demo.py",
    "faults/test_kills.py",
    "chain/test_load.py",
    "chain/test_cure_vault.py",
    "chain/test_executor.py",
    "chain/test_margin_story_guardian.py",
    "chain/conformance/test_replay.py",
    "chain/test_acceptance_unseen.py",
    "chain/test_bench.py",
    "chain/test_aave_market.py",
    "chain/conformance/test_failures.py",
    "faults/test_model.py",
)
KINDS = ("chain", "faults", "flow", "contracts", "notify", "unit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that several workers end together."""
    items.sort(key=lambda item: _turn(item.path.relative_to(ROOT)))


def _turn(path: Path) -> tuple[int, int]:
    name, kind = path.as_posix(), path.parts[0]
    longest = LONGEST.index(name) if name in LONGEST else len(LONGEST)
    return longest, KINDS.index(kind) if kind in KINDS else len(KINDS)


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
    """Fail a test whose captured output or log holds a secret."""
    report: pytest.TestReport = yield
    found = canaries.leaking_sections(report.sections) if report.when == "teardown" else []
    if found:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} gave a secret away: {'; '.join(found)}"
    return report
