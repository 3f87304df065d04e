"""What an endpoint lacks is learnt from it, said once, and tried again after a while."""

import logging
from pathlib import Path

import pytest

from keeper.chain.capabilities import (
    FIRST_RETRY_SECONDS,
    INSTEAD,
    LONGEST_RETRY_SECONDS,
    Capabilities,
    Capability,
)

ROOT = Path(__file__).resolve().parents[3]


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def capabilities(clock: Clock) -> Capabilities:
    return Capabilities(clock)


def test_everything_is_there_until_it_is_refused(capabilities):
    """A node is asked in the best way first: nothing is assumed against it."""
    assert all(capabilities.has(0, capability) for capability in Capability)
    assert capabilities.lacks() == []


def test_a_refusal_counts_for_its_endpoint_alone(capabilities):
    """A poor endpoint does not make a good one be asked in the slow way."""
    capabilities.learn_lack(1, Capability.SIMULATION, "not available")

    assert not capabilities.has(1, Capability.SIMULATION)
    assert capabilities.has(0, Capability.SIMULATION)
    assert capabilities.has(1, Capability.FEE_HISTORY)


def test_a_lack_is_logged_once_however_often_it_is_learnt(capabilities, clock, caplog):
    """A node without a method would otherwise fill the log, a line in every block."""
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            capabilities.learn_lack(0, Capability.FEE_HISTORY, "no such method")
            clock.now += FIRST_RETRY_SECONDS

    assert sum("endpoint_lacks" in line for line in caplog.messages) == 1


def test_a_lack_is_tried_again_and_the_pause_doubles_up_to_an_hour(capabilities, clock):
    """A node may be upgraded, or have refused for a moment only; a poor one is not asked often."""
    capabilities.learn_lack(0, Capability.SIMULATION, "busy")
    pauses = []
    for _ in range(9):
        start = clock.now
        while not capabilities.has(0, Capability.SIMULATION):
            clock.now += FIRST_RETRY_SECONDS
        pauses.append(clock.now - start)
        capabilities.learn_lack(0, Capability.SIMULATION, "busy")

    assert pauses[:3] == [60, 120, 240]
    assert pauses[-1] == LONGEST_RETRY_SECONDS


def test_a_retry_that_succeeds_clears_the_lack(capabilities, clock):
    """Whoever has the method again is asked in the fast way again."""
    capabilities.learn_lack(0, Capability.SIMULATION, "busy")
    capabilities.learn_success(0, Capability.SIMULATION)
    assert not capabilities.has(0, Capability.SIMULATION)

    clock.now += FIRST_RETRY_SECONDS
    capabilities.learn_success(0, Capability.SIMULATION)

    assert capabilities.has(0, Capability.SIMULATION)
    assert capabilities.lacks() == []


def test_a_limit_is_remembered_and_may_shrink(capabilities, clock):
    """A cap of ten requests that turns out to be three is three, until it is tried again."""
    capabilities.learn_lack(0, Capability.BATCHES, "too many", limit=10)
    capabilities.learn_lack(0, Capability.BATCHES, "too many", limit=3)
    assert capabilities.limit(0, Capability.BATCHES) == 3
    capabilities.learn_lack(0, Capability.BATCHES, "too many", limit=6)
    assert capabilities.limit(0, Capability.BATCHES) == 3

    clock.now += FIRST_RETRY_SECONDS

    assert capabilities.limit(0, Capability.BATCHES) is None


def test_every_capability_is_in_the_documentations_table():
    """An operator looks up there what a line of the log means."""
    text = (ROOT / "docs" / "endpoints.md").read_text()
    section = text.partition("## What a node may lack")[2].partition("\n## ")[0]
    cells = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| "))

    assert [capability for capability in Capability if capability not in cells] == []


def test_every_capability_says_what_is_done_without_it():
    """An operator reads what a lack costs, not only that there is one."""
    assert set(INSTEAD) == set(Capability)
    assert all(INSTEAD.values())
