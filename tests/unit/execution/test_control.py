import stat

import pytest

from keeper.domain.errors import EnvironmentFault
from keeper.execution.control import _ask, ask, listening, socket_path
from keeper.execution.paper import PaperSubmitter
from tests.support.scripted_submission import (
    MARKET,
    World,
    account,
    batch,
    head,
    healthy,
    plan,
    unhealthy,
)


async def test_commands_reach_the_running_node_and_are_recorded(tmp_path):
    """Who changed what must be in the journal, with the outcome."""
    world, kept = World(), []
    await world.submitter.submit([batch()], head(10))
    path = socket_path(tmp_path / "j")

    async def record(*row):
        kept.append(row)

    async with listening(path, world.submitter, record):
        mode = stat.S_IMODE(path.stat().st_mode)
        paused = await _ask(path, "pause", "")
        cancelled = await _ask(path, "cancel", "0")
        unknown = await _ask(path, "cancel", "9")
        nonsense = await _ask(path, "withdraw", "")

    assert mode == 0o600
    assert (paused["ok"], world.submitter.held) == (True, "sending is paused by the operator")
    assert cancelled["result"] == world.book[0].newest.hash
    assert (unknown["ok"], unknown["error"]) == (False, "nonce 9 is not waiting")
    assert nonsense["ok"] is False
    assert kept[:2] == [("pause", "", "asked"), ("pause", "", "paused")]
    assert kept[-1] == ("cancel", "9", "failed: nonce 9 is not waiting")
    assert not path.exists()


def test_without_a_running_node_the_command_says_so(tmp_path):
    """Nothing is changed behind the back of the one process that signs."""
    with pytest.raises(EnvironmentFault, match="no node is running"):
        ask(tmp_path / "j", "bump", "0")


async def test_a_dry_run_books_an_account_once_per_episode():
    """On the real chain nobody acted, so it would be booked again at every block."""
    booked, events = [], []

    class Ledger:
        async def add(self, plans, head):
            booked.extend(plans)

    paper = PaperSubmitter(ledger=Ledger(), emit=events.append, forget_after_blocks=5)
    await paper.submit([batch(plan(0))], head(10))
    await paper.follow(head(11), unhealthy)
    kept = paper.in_flight()
    await paper.follow(head(12), healthy)

    assert kept == {(MARKET, account(0))}
    assert paper.in_flight() == frozenset()
    assert [one["net_profit_wei"] for one in events] == [str(plan().net_profit)]
    assert booked == [plan(0)]


def test_a_socket_fits_however_long_the_journals_path_is(tmp_path, monkeypatch):
    """The system bounds a socket's path; the node must not refuse to run for that."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("t" * 90)))

    short = socket_path(tmp_path / ("d" * 120) / "keeper.sqlite")

    assert len(bytes(short)) <= 100
    assert short != socket_path(tmp_path / ("e" * 120) / "keeper.sqlite")
