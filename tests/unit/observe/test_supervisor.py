"""What systemd is told."""

import socket

import pytest

from keeper.composition.stalling import Stalling
from keeper.observe.stages import Stage, Unwatched
from keeper.observe.supervisor import Supervisor
from tests.support.scripted_submission import head


@pytest.mark.io
@pytest.mark.parametrize("address", ["path", "@abstract"])
def test_the_watchdog_is_fed_by_higher_blocks_that_are_done_and_by_nothing_else(tmp_path, address):
    """A loop that spins over one block, or over reads that fail, gets on with nothing."""
    name = str(tmp_path / "socket") if address == "path" else f"@keeper-test-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name[1:] if name.startswith("@") else name)
        heard.settimeout(5)
        supervisor = Supervisor.of({"NOTIFY_SOCKET": name})
        watch = Stalling(watch=Unwatched(), supervisor=supervisor)
        supervisor.ready()
        for stage, number in (
            (Stage.HEAD, 7),
            (Stage.READ, 7),
            (Stage.RECORDED, 7),
            (Stage.RECORDED, 7),
            (Stage.HEAD, 8),
            (Stage.RECORDED, 8),
        ):
            watch.passed(stage, head(number))
        supervisor.stopping()

        told = [heard.recv(100).decode() for _ in range(4)]
    assert told == [
        "READY=1",
        "WATCHDOG=1\nSTATUS=block 7",
        "WATCHDOG=1\nSTATUS=block 8",
        "STOPPING=1",
    ]


@pytest.mark.io
def test_a_supervisor_that_is_gone_is_said_once_and_holds_nothing_up(tmp_path, caplog):
    """The keeper goes on."""
    supervisor = Supervisor(str(tmp_path / "nobody"))
    supervisor.ready()
    supervisor.got_on(head(1))

    assert caplog.text.count("supervisor_not_told") == 1


def test_without_a_supervisor_nobody_is_told():
    """As in a terminal."""
    Supervisor.of({}).ready()
