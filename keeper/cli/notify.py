"""``keeper notify``. Tests channels, and lists sent and given-up messages."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from keeper import config
from keeper.cli.asof import as_of
from keeper.cli.options import ConfigOption, JsonOption
from keeper.cli.output import print_json, print_line, print_note, print_table
from keeper.cli.records import read_record
from keeper.clock import wall
from keeper.composition.notifying import channel_of
from keeper.config import Settings
from keeper.config.subscriptions import Subscriptions
from keeper.domain.errors import ConfigError, NotTold
from keeper.domain.telling import Message, Outgoing, Severity
from keeper.execution.control import is_listening
from keeper.notify.subscribed import Subscribed
from keeper.storage import database, outbox
from keeper.storage.places import MODES, file_of
from keeper.storage.pulse import pulse

app = typer.Typer(no_args_is_help=True, help="Notifications: test channels, list messages, retry.")

ChannelOption = Annotated[
    str | None, typer.Option("--channel", metavar="NAME", help="Only this channel.")
]
ModeOption = Annotated[
    str, typer.Option("--mode", help=f"Which run's outbox: {', '.join(MODES)}.", metavar="MODE")
]

TRIED: Final = "The keeper's test message: nothing has happened. If you read this, the way works."


@app.command("test")
def try_(
    config_file: ConfigOption = None,
    *,
    channel: ChannelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a test message through every channel. Exit code 3 if one fails."""
    settings = config.load(config_file).settings
    results = asyncio.run(_test_channels(settings, channel))
    if as_json:
        tried = [{"channel": k, "ok": not v, "reason": v} for k, v in results.items()]
        print_json({"channels": tried}, "notify-test")
    else:
        for name, why in results.items():
            print_line(f"{'fail' if why else 'ok':<4}  {name}" + (f": {why}" if why else ""))
    if any(results.values()):
        raise typer.Exit(NotTold.exit_code)


@app.command("list")
def list_(
    config_file: ConfigOption = None,
    *,
    mode: ModeOption = MODES[0],
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show the newest N.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List messages, newest first, with state and error."""
    path = _find_file(config_file, mode)
    found, newest = read_record(path, lambda one: (outbox.listed(one, limit), pulse(one)))
    when = as_of(path, newest)
    if as_json:
        document = {"messages": [_build_document(one) for one in found], "as_of": when.document}
        print_json(document, "notify-list")
        return
    print_table(
        ["state", "channel", "made", "tries", "message", "last error"],
        [
            [
                str(one.state),
                one.channel,
                _format_time(one.created_at),
                str(one.attempts),
                one.message.title,
                one.last_error,
            ]
            for one in found
        ],
    )
    print_line(when.line)


@app.command()
def retry(
    config_file: ConfigOption = None, *, mode: ModeOption = MODES[0], as_json: JsonOption = False
) -> None:
    """Try messages that were given up again, by the running or the next keeper."""
    path = _check_existing(_find_file(config_file, mode))
    opened = database.opened(path)
    try:
        revived = opened.write_now(outbox.revive, int(wall()))
    finally:
        opened.close()
    if as_json:
        print_json({"revived": revived}, "notify-retry")
    else:
        print_line(f"{revived} messages will be tried again")
        who = "the running keeper" if is_listening(path) else "the next keeper: none is running"
        print_note(f"by {who}")


@app.command()
def subscriptions(config_file: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show which channel gets which notices, by the current subscriptions file."""
    notify = config.load(config_file).settings.notify
    names = [one.name for one in notify.channel]
    found = Subscribed(notify.subscriptions, names).in_effect
    if as_json:
        print_json(found.model_dump(mode="json"), "notify-subscriptions")
        return
    for line in _format_subscriptions(found):
        print_line(line)


def _format_subscriptions(found: Subscriptions) -> list[str]:
    if not found.subscription:
        return ["nobody is told of anything: there is no [[notify.channel]]"]
    return [
        f"{', '.join(one.channels)}: {', '.join(one.tiers)};"
        f" {f'{len(one.accounts)} accounts' if one.accounts else 'every account'}"
        f" of {', '.join(one.markets) or 'every market'}"
        f"{f' with a debt above {one.debt_above_usd:,} USD' if one.debt_above_usd else ''};"
        f" {', '.join(one.kinds)}"
        for one in found.subscription
    ]


async def _test_channels(settings: Settings, only: str | None) -> dict[str, str]:
    """Return each channel's error. Empty if it works."""
    wanted = [one for one in settings.notify.channel if only in (None, one.name)]
    if not wanted:
        known = ", ".join(one.name for one in settings.notify.channel)
        raise ConfigError(
            f"there is no channel {only!r}" if only else "there is no [[notify.channel]]",
            hint=f"channels: {known}" if known else "add one to the settings",
        )
    found = dict[str, str]()
    for one in wanted:
        channel = channel_of(one)
        stamp = f"keeper-test-{wall():.0f}"
        try:
            async with asyncio.timeout(settings.notify.timeout_seconds):
                await channel.tell(_build_test_message(stamp))
            found[one.name] = ""
        except NotTold as error:
            found[one.name] = str(error)
        except TimeoutError:
            found[one.name] = "no answer in time"
        finally:
            await channel.close()
    return found


def _build_test_message(key: str) -> Message:
    return Message(
        key=key,
        severity=Severity.INFO,
        title="Keeper: test message",
        text=TRIED,
        html=f"<p>{TRIED}</p>",
        count=0,
        items=(),
    )


def _find_file(config_file: Path | None, mode: str) -> Path:
    if mode not in MODES:
        raise ConfigError(f"{mode!r} is not a mode", hint=f"modes: {', '.join(MODES)}")
    return file_of(config.load(config_file).settings.journal.path, mode)


def _check_existing(path: Path) -> Path:
    database.reader(path).dispose()
    return path


def _build_document(one: Outgoing) -> dict[str, object]:
    return {
        "state": str(one.state),
        "channel": one.channel,
        "created_at": one.created_at,
        "attempts": one.attempts,
        "last_error": one.last_error,
        "key": one.message.key,
        "severity": str(one.message.severity),
        "title": one.message.title,
        "notices": one.message.count,
    }


def _format_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")
