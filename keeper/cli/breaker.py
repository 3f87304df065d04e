"""``keeper breaker``. Lists the breakers that hold new transactions, and changes them."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from keeper import config
from keeper.cli.asof import learn_as_of
from keeper.cli.options import ConfigOption, JsonOption
from keeper.cli.output import print_json, print_line, print_note
from keeper.config import Settings
from keeper.domain.breaker import Breaker, BreakerState, OpenBreaker
from keeper.domain.errors import ConfigError, EnvironmentFault, JournalError
from keeper.execution.control import ask, is_listening
from keeper.execution.guard import named, not_open, paused_at
from keeper.storage import breakers, database
from keeper.storage.journal import Journal, sender_of

app = typer.Typer(no_args_is_help=True, help="Circuit breakers: list, reset, pause, resume.")

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As in `keeper breaker list`.")]


@app.command("list")
def list_(config_file: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """List all breakers with state, block and reason."""
    path = _load_settings(config_file).journal.path
    found, when = _read_states(path), learn_as_of(path)
    if as_json:
        document = {"breakers": [_build_document(one) for one in found], "as_of": when.document}
        print_json(document, "breaker-list")
        return
    for one in found:
        since = f"  since block {one.open.block_number}: {one.open.detail}" if one.open else ""
        print_line(f"{one.name:<12}  {'OPEN' if one.open else 'closed'}{since}")
    print_note(when.line)


@app.command()
def reset(
    name: NameArgument, config_file: ConfigOption = None, *, as_json: JsonOption = False
) -> None:
    """Close an open breaker and restart its count."""
    _run_action(_load_settings(config_file), "reset", named(name), as_json=as_json)


@app.command()
def pause(config_file: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Send no new transaction until `resume`, also after a restart."""
    _run_action(_load_settings(config_file), "pause", Breaker.PAUSED, as_json=as_json)


@app.command()
def resume(config_file: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """End a `pause`."""
    _run_action(_load_settings(config_file), "resume", Breaker.PAUSED, as_json=as_json)


def _load_settings(config_file: Path | None) -> Settings:
    return config.load(config_file).settings


def _run_action(settings: Settings, action: str, breaker: Breaker, *, as_json: bool) -> None:
    """Run an action in the running node, or without one under the journal's lock."""
    path, by_whom = settings.journal.path, "by the running keeper"
    if is_listening(path):
        _ask_node(path, action, breaker)
    else:
        _run_without_node(settings, action, breaker)
        by_whom = "in the journal, for the next start; no keeper is running"
    if as_json:
        document = {
            "action": action,
            "breakers": [_build_document(one) for one in _read_states(path)],
        }
        print_json(document, "breaker-change")
        return
    still = [one.name for one in _read_states(path) if one.open]
    print_line(f"{action} {breaker}: done {by_whom}; open: {', '.join(still) or 'none'}")


def _ask_node(path: Path, action: str, breaker: Breaker) -> None:
    answer = ask(path, action, breaker if action == "reset" else "")
    if not answer.get("ok"):
        known = {one.code: one for one in (ConfigError, JournalError)}
        error = known.get(str(answer.get("code")), EnvironmentFault)
        raise error(str(answer.get("error")), hint=str(answer.get("hint", "")))


def _run_without_node(settings: Settings, action: str, breaker: Breaker) -> None:
    path = settings.journal.path
    sender = sender_of(path)
    if sender is None:
        raise JournalError(f"there is no journal at {path}", hint="`keeper run` makes it")
    journal = Journal.open(path, chain_id=settings.chain.id, sender=sender)
    try:
        asyncio.run(_record_action(journal, action, breaker))
    finally:
        journal.close()


async def _record_action(journal: Journal, action: str, breaker: Breaker) -> None:
    argument = str(breaker) if action == "reset" else ""
    await journal.record_control(action, argument, "asked, no node running")
    if action == "pause":
        await journal.open_breaker(paused_at(None))
    elif not await journal.close_breaker(breaker, "reset", forgive=True):
        await journal.record_control(action, argument, "failed: it is not open")
        raise not_open(breaker)
    await journal.record_control(action, argument, "done")


def _read_states(path: Path) -> list[BreakerState]:
    engine = database.reader(path)
    try:
        return database.read(engine, breakers.states)
    finally:
        engine.dispose()


def _build_document(state: BreakerState) -> dict[str, object]:
    return {"name": str(state.name), "open": state.open is not None} | _build_open_fields(
        state.open
    )


def _build_open_fields(held: OpenBreaker | None) -> dict[str, object]:
    if held is None:
        return {"detail": "", "block_number": None, "block_time": None}
    return {
        "detail": held.detail,
        "block_number": held.block_number,
        "block_time": held.timestamp,
    }
