"""Failpoints are a test's tool: they must be dead wherever money is real."""

import signal
import subprocess
import sys

import pytest

from keeper.domain.errors import ConfigError
from keeper.execution import failpoints

PASSES = """
from keeper.execution.failpoints import arm, reached
arm(31337)
for number in range(3):
    reached("K3")
    reached("K4")
    print(number, flush=True)
"""


@pytest.mark.io
@pytest.mark.parametrize(
    ("wanted", "number", "passed"),
    [
        ("K4", signal.SIGKILL, ""),
        ("K4:3", signal.SIGKILL, "0\n1\n"),
        ("K4:2:term", signal.SIGTERM, "0\n"),
        ("K4:4", 0, "0\n1\n2\n"),
        ("", 0, "0\n1\n2\n"),
    ],
)
def test_the_process_dies_where_the_point_is_passed_for_the_nth_time(wanted, number, passed):
    """Not before, and at no other point."""
    ended = subprocess.run(
        [sys.executable, "-c", PASSES],
        env={failpoints.VARIABLE: wanted, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (-number, passed)


def test_on_a_real_chain_it_is_ignored_and_told(caplog):
    """A variable that was left in a shell must not end a keeper that guards money."""
    failpoints.arm(1, {failpoints.VARIABLE: "K4"})
    failpoints.reached("K4")

    assert "failpoint_ignored" in caplog.text


@pytest.mark.parametrize("wanted", ["K14", "k4", "K4:0", "K4:x", "K4:1:stop", "4"])
def test_what_is_no_point_is_refused(wanted):
    """A test that never dies would show nothing."""
    with pytest.raises(ConfigError, match="KEEPER_FAILPOINT"):
        failpoints.arm(31337, {failpoints.VARIABLE: wanted})
