"""Progress is told so that a person knows how long it takes, on a terminal and in a log."""

import io

import pytest
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from keeper.book.follower import Progress as Told
from keeper.cli.progress import Lines, OnTerminal, duration, telling

MARKET = "aave_v3:0x1"


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def history(done, total=1_000):
    return Told(market=MARKET, stage="history", done=done, total=total)


def test_lines_come_every_few_seconds_with_the_time_left(capsys):
    """A log must not get a line for each window."""
    clock = Clock()
    tell = Lines(clock)
    tell(Told(market=MARKET, stage="discover"))
    for second in range(11):
        clock.now = float(second)
        tell(history(100 * second))
    tell(Told(market=MARKET, stage="ready", detail="7"))

    assert capsys.readouterr().err.splitlines() == [
        f"discover {MARKET}",
        f"history 0/1000 {MARKET}",
        f"history 500/1000 {MARKET}, about 5 s left",
        f"history 1000/1000 {MARKET}",
        f"ready {MARKET} 7",
    ]


def test_a_terminal_gets_a_bar_with_the_time_left(capsys, monkeypatch):
    """It is gone when the history is read."""
    monkeypatch.setenv("TERM", "xterm")  # whatever the machine that tests has
    clock, shown = Clock(), io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120)
    left = TextColumn("{task.fields[left]}")
    bars = Progress(TextColumn("{task.description}"), BarColumn(), left, console=console)
    tell = OnTerminal(bars, clock)
    for second in (0, 60, 120):
        clock.now = float(second)
        tell(history(second))
    bars.refresh()
    assert "about 15 min left" in shown.getvalue()

    tell(Told(market=MARKET, stage="ready", detail="7"))

    assert bars.tasks == []
    assert not bars.live.is_started
    assert capsys.readouterr().err == f"ready {MARKET} 7\n"


def test_quiet_tells_only_trouble(capsys):
    """With --json nobody wants lines, but a market that is left out must be told."""
    with telling(quiet=True) as tell:
        tell(history(1))
        tell(Told(market=MARKET, stage="quarantined", detail="it does not answer"))

    assert capsys.readouterr().err == f"quarantined {MARKET} it does not answer\n"


def test_without_a_terminal_there_are_lines(capsys):
    """A supervisor's log gets no control characters."""
    with telling() as tell:
        tell(history(0))

    assert capsys.readouterr().err == f"history 0/1000 {MARKET}\n"


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "1 s"), (59, "59 s"), (90, "2 min"), (5_400, "1.5 h")]
)
def test_times_are_told_coarsely(seconds, told):
    """An estimate to the second would be a lie."""
    assert duration(seconds) == told
