"""``keeper run``: the node."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from functools import partial
from typing import Annotated, Final

import typer

from keeper.app import Emit, Mode, RunOptions
from keeper.app import run as run_node
from keeper.cli.documents import with_dollars
from keeper.cli.garbage import searched_seldom
from keeper.cli.here import wallet_key
from keeper.cli.options import ConfigOption, InitJournalOption, JsonOption, SetOption
from keeper.cli.output import print_note
from keeper.cli.progress import telling
from keeper.cli.words import event_line
from keeper.config import Settings, load, overrides
from keeper.domain.errors import ConfigError
from keeper.observe.events import Event
from keeper.observe.logging import configure
from keeper.observe.sink import Sink, unbuffered

log = logging.getLogger(__name__)

STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
OVERDUE_EXIT: Final = 3
SEARCH_AFTER: Final = 50_000
"""New objects between two searches for garbage: some megabytes may wait for the next one."""


def command(
    config: ConfigOption = None,
    *,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Plan and simulate, but sign and send nothing."),
    ] = False,
    observe: Annotated[
        bool, typer.Option("--observe", help="Only watch and send margin calls; no plans, no key.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Process one block, then exit.")] = False,
    blocks: Annotated[
        int | None,
        typer.Option("--blocks", min=1, metavar="N", help="Process N blocks, then exit."),
    ] = None,
    init_journal: InitJournalOption = False,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Watch the chain and liquidate what pays."""
    if dry_run and observe:
        raise ConfigError("--dry-run and --observe exclude each other", hint="choose one")
    if once and blocks is not None:
        raise ConfigError("--once and --blocks exclude each other", hint="--blocks 1 is --once")
    loaded = load(config, overrides(override))
    settings = loaded.settings
    mode = Mode.DRY_RUN if dry_run else Mode.OBSERVE if observe else Mode.LIVE
    key = wallet_key(settings.wallet) if mode is Mode.LIVE else None
    options = RunOptions(mode=mode, blocks=1 if once else blocks, init_journal=init_journal)
    with _open_sinks(settings) as sink, telling() as tell, searched_seldom(SEARCH_AFTER):
        for warning in loaded.warnings:
            log.warning("settings_exposed reason=%s", warning)
        emit: Emit = partial(_emit_json if as_json else _emit_text, sink)
        work = run_node(settings, options, emit, key=key, progress=tell)
        asyncio.run(_run_until_stopped(work, settings.run.stop_seconds))


@contextlib.contextmanager
def _open_sinks(settings: Settings) -> Iterator[Sink]:
    """Write logs and events by threads within the context, and yield the events' sink."""
    logs, events = Sink(unbuffered(sys.stderr)), Sink(unbuffered(sys.stdout))
    configure(level=settings.log.level, form=settings.log.format, stream=logs)
    try:
        yield events
    finally:
        events.close()
        logs.close()
        if not logs.lost:  # whoever reads it will read what comes after the run, too
            configure(level=settings.log.level, form=settings.log.format)


async def _run_until_stopped(work: Coroutine[object, object, None], seconds: int) -> None:
    """Run until the work ends or a signal stops it. Sent transactions are in the journal.

    The first SIGTERM or SIGINT ends it within ``seconds``, the second at once.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in STOPPING:
            loop.remove_signal_handler(number)
        last = threading.Timer(seconds, os._exit, [OVERDUE_EXIT])
        last.daemon = True
        last.start()  # mutation: G26 last-timer
        task.cancel()

    for number in STOPPING:
        loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        print_note("stopped")
    finally:
        for number in STOPPING:
            loop.remove_signal_handler(number)


def _emit_json(sink: Sink, event: Event) -> None:
    sink.write(json.dumps(with_dollars(event)) + "\n")


def _emit_text(sink: Sink, event: Event) -> None:
    line = event_line(event)
    if line:
        sink.write(line + "\n")
