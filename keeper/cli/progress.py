"""Progress of a start or a scan on stderr, as a bar on a terminal and as plain lines elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from keeper.book.follower import Progress
from keeper.book.visit import BOOK_STAGE, TROUBLE_STAGE
from keeper.cli.output import print_note
from keeper.observe.redaction import one_line

LINE_EVERY: Final = 5.0
"""Seconds between two plain lines about the same stage."""
_MINUTE, _HOUR = 60, 3_600

Tell = Callable[[Progress], None]


@contextlib.contextmanager
def telling(*, quiet: bool = False) -> Iterator[Tell]:
    """Yield a progress callback. The bar disappears when the context ends.

    With ``quiet`` only unreadable markets and an unused book file are reported.
    """
    if quiet:
        yield _report_trouble
    elif sys.stderr.isatty():
        drawn = OnTerminal(_build_bars())
        try:
            yield drawn
        finally:
            drawn.clear()
    else:
        yield Lines()


def _report_trouble(progress: Progress) -> None:
    if progress.stage in ("quarantined", TROUBLE_STAGE):
        print_note(_format_line(progress, ""))


class Lines:
    """Prints each stage once, and the history every few seconds with the remaining time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._left = TimeLeft(clock)
        self._clock = clock
        self._last: tuple[str, str] | None = None
        self._told_at = 0.0

    def __call__(self, progress: Progress) -> None:
        """Print a line, unless one of the same stage was printed recently."""
        left, stage = self._left.told(progress), (progress.market, progress.stage)
        finished = 0 < progress.total <= progress.done
        recent = self._clock() - self._told_at < LINE_EVERY
        is_alone = progress.stage in (BOOK_STAGE, TROUBLE_STAGE)
        if stage == self._last and not is_alone and recent and not finished:
            return
        self._last, self._told_at = stage, self._clock()
        print_note(_format_line(progress, left))


class OnTerminal:
    """Draws the history of each market as a bar while it is read. Other stages are lines."""

    def __init__(self, bars: Bars, clock: Callable[[], float] = time.monotonic) -> None:
        self._bars = bars
        self._left = TimeLeft(clock)
        self._tasks = dict[str, TaskID]()

    def __call__(self, progress: Progress) -> None:
        """Move the market's bar, or write a line."""
        left = self._left.told(progress)
        if progress.stage == "history":
            self._move(progress, left)
            return
        task = self._tasks.pop(progress.market, None)
        if task is not None:
            self._bars.remove_task(task)
        if not self._tasks:
            self._bars.stop()
        print_note(_format_line(progress, ""))

    def _move(self, progress: Progress, left: str) -> None:
        if not self._tasks:
            self._bars.start()
        task = self._tasks.get(progress.market)
        if task is None:
            task = self._bars.add_task(one_line(f"history {progress.market}"), left="")
            self._tasks[progress.market] = task
        done, total = max(progress.done, 0), max(progress.total, 1)
        self._bars.update(task, completed=min(done, total), total=total, left=left)

    def clear(self) -> None:
        """Remove the bars."""
        self._bars.stop()


class TimeLeft:
    """Estimates the remaining time of a market's history from its speed so far."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._begun: dict[str, tuple[float, int]] = {}

    def told(self, progress: Progress) -> str:
        """Return the remaining time as text. Empty if it cannot be estimated yet."""
        if progress.stage != "history" or not progress.total:
            self._begun.pop(progress.market, None)
            return ""
        now = self._clock()
        begun, first = self._begun.setdefault(progress.market, (now, progress.done))
        gone, remaining = progress.done - first, progress.total - progress.done
        if gone <= 0 or remaining <= 0:
            return ""
        return f"about {duration((now - begun) * remaining / gone)} left"


def duration(seconds: float) -> str:
    """Format seconds in the coarsest meaningful unit."""
    if seconds < _MINUTE:
        return f"{max(1, round(seconds))} s"
    if seconds < _HOUR:
        return f"{round(seconds / _MINUTE)} min"
    return f"{seconds / _HOUR:.1f} h"


def _build_bars() -> Bars:
    return Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        console=Console(stderr=True, highlight=False, markup=False, emoji=False),
        transient=True,
    )


def _format_line(progress: Progress, left: str) -> str:
    if progress.stage in (BOOK_STAGE, TROUBLE_STAGE):
        return progress.detail
    counted = f" {progress.done}/{progress.total}" if progress.total else ""
    told = f"{progress.stage}{counted} {progress.market} {progress.detail}".rstrip()
    return f"{told}, {left}" if left else told
