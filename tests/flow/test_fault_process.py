"""The process itself: who reads its output is slow or gone, its event loop stands still."""

import asyncio
import contextlib
import os
import subprocess
import sys
import time

import pytest

from keeper.cli.run import OVERDUE_EXIT
from keeper.composition import watching
from keeper.observe.metrics import Metrics
from keeper.observe.sink import Sink

LINE = "x" * 1_000 + "\n"
HELD = 0.5


class Pipe:
    def __init__(self, descriptor):
        self.descriptor = descriptor

    def write(self, text):
        os.write(self.descriptor, text.encode())

    def flush(self):
        pass


TALKS_ON = """
import sys, threading
from keeper.observe.sink import Sink
sink = Sink(sys.stdout)
for number in range(1000):
    sink.write("a line\\n")
sink.close()
sys.stderr.write(f"done {sink.broken}")
sys.stderr.flush()
"""


WORKS_ON = """
import logging, os, sys
from pathlib import Path
from types import SimpleNamespace
from keeper.cli.run import _open_sinks
log = logging.getLogger("keeper.test")
settings = SimpleNamespace(log=SimpleNamespace(level="info", format="text"))
with _open_sinks(settings) as events:
    for number in range(11_000):
        log.warning("told number=%d", number)
        events.write("an event\\n")
    Path(sys.argv[1]).write_text("worked on")
"""

NEVER_ENDS = """
import asyncio, os, signal, sys, threading, time
from keeper.cli.run import _run_until_stopped

async def deaf():
    os.kill(os.getpid(), signal.SIGTERM)
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("asked to end", flush=True)

async def stuck():
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        await asyncio.sleep(3600)
    finally:
        print("asked to end", flush=True)
        time.sleep(3600)

async def waits_for_a_thread():
    threading.Thread(target=time.sleep, args=[3600]).start()
    os.kill(os.getpid(), signal.SIGTERM)
    try:
        await asyncio.sleep(3600)
    finally:
        print("asked to end", flush=True)

work = {"deaf": deaf, "stuck": stuck, "thread": waits_for_a_thread}[sys.argv[1]]
asyncio.run(_run_until_stopped(work(), 1))
"""


@pytest.mark.io
@pytest.mark.parametrize("work", ["deaf", "stuck", "thread"])
def test_g26_what_does_not_end_when_it_is_asked_to_is_ended(work):
    """A stop is bounded: by a timer that needs neither the loop nor the good will of the work."""
    done = subprocess.run(
        [sys.executable, "-c", NEVER_ENDS, work],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout.splitlines()[0] == "asked to end"
    assert done.returncode == OVERDUE_EXIT


@pytest.mark.io
@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_f45_a_keeper_works_on_and_ends_while_nobody_reads_what_it_says(tmp_path, name):
    """A collector of logs that hangs: its pipe is full, and stays full."""
    reading, writing = os.pipe()
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, name: writing}
    done = subprocess.run(
        [sys.executable, "-c", WORKS_ON, str(tmp_path / "done")],
        **streams,
        check=False,
        timeout=60,
    )
    os.close(reading)
    os.close(writing)

    assert (tmp_path / "done").read_text() == "worked on"
    assert done.returncode == 0


def test_f45_a_pipe_that_nobody_reads_holds_nobody_up():
    """The kernel keeps 64 KiB; the writer of a megabyte would wait for ever."""
    reading, writing = os.pipe()
    sink = Sink(Pipe(writing), depth=100)

    for _ in range(1_000):
        sink.write(LINE)

    assert sink.dropped >= 1_000 - 100 - 100
    os.close(reading)
    sink.close()
    os.close(writing)
    assert sink.broken == "BrokenPipeError"


@pytest.mark.io
def test_f45_a_reader_that_has_gone_ends_nothing():
    """As `keeper run | head` does, or a collector of logs that is started again."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", TALKS_ON],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)

    assert "done BrokenPipeError" in done.stderr


def test_f45_what_can_be_written_is_written_whole_and_in_order(tmp_path):
    """An end waits for it."""
    with (tmp_path / "out").open("w") as stream:
        sink = Sink(stream)
        for number in range(2_000):
            sink.write(f"{number}\n")
        sink.close()

    lines = (tmp_path / "out").read_text().splitlines()
    assert lines == [str(number) for number in range(2_000)]
    assert (sink.dropped, sink.broken) == (0, "")


async def test_f40_an_event_loop_that_stood_still_is_measured(monkeypatch):
    """Half a second of somebody's arithmetic: the operator sees it in the metrics."""
    monkeypatch.setattr(watching, "LAG_SECONDS", 0.01)
    metrics = Metrics()
    measuring = asyncio.create_task(watching.measure_lag(metrics))
    await asyncio.sleep(0)

    time.sleep(HELD)  # noqa: ASYNC251 - that is the fault
    await asyncio.sleep(0.02)
    measuring.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await measuring

    (family,) = metrics.lag.collect()
    total = next(one.value for one in family.samples if one.name.endswith("_sum"))
    assert total >= HELD - 0.02
