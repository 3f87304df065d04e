"""``keeper config``. Shows and checks the settings in effect."""

from collections.abc import Iterator, Mapping
from typing import Annotated

import typer
from pydantic import BaseModel, SecretStr

from keeper.cli.options import ConfigOption, JsonOption, SetOption
from keeper.cli.output import print_json, print_line, print_note
from keeper.composition.notifying import channel_of
from keeper.composition.wiring import check_options
from keeper.config import (
    SECRETS,
    Loaded,
    Market,
    Plugged,
    Problem,
    Settings,
    SettingsInvalid,
    Venue,
    load,
    overrides,
    settings_path,
)
from keeper.config.subscriptions import Subscriptions
from keeper.domain.errors import ConfigError
from keeper.notify.subscribed import Subscribed
from keeper.observe.redaction import HIDDEN, endpoint_label

app = typer.Typer(help="Settings: show, check.")


@app.command()
def show(
    config: ConfigOption = None,
    *,
    origin: Annotated[
        bool, typer.Option("--origin", help="Show where each value was set.")
    ] = False,
    as_json: JsonOption = False,
    override: SetOption = None,
) -> None:
    """Show the settings in effect, without secrets and endpoint paths."""
    loaded = load(config, overrides(override))
    values = {
        name: (value, _find_origin(name, loaded))
        for name, value in _flatten_settings(loaded.settings)
    }
    if as_json:
        print_json(
            {
                name: {"value": value, "origin": where} if origin else value
                for name, (value, where) in values.items()
            },
            "config-show",
        )
        return
    for name, (value, where) in values.items():
        print_line(f"{name} = {value}" + (f"    # {where}" if origin else ""))


@app.command()
def check(config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Check all settings and list every problem."""
    problems = _find_problems(config)
    if as_json:
        print_json(
            {
                "ok": not problems,
                "problems": [
                    {"setting": p.setting, "origin": p.origin, "reason": p.reason, "hint": p.hint}
                    for p in problems
                ],
            },
            "config-check",
        )
    else:
        for problem in problems:
            print_line(f"{problem}" + (f" - {problem.hint}" if problem.hint else ""))
    if problems:
        raise typer.Exit(2)
    if not as_json:
        for warning in load(config).warnings:
            print_note(f"warning: {warning}")
        print_line(f"ok: {settings_path(config)}")


def _find_problems(config: ConfigOption) -> list[Problem]:
    """Return all problems of the settings. Raises errors that prevent reading them."""
    try:
        settings = load(config).settings
    except SettingsInvalid as error:
        return list(error.problems)
    found: list[Problem] = []
    sections: list[Market | Venue] = [*settings.market, *settings.venue]
    for section in sections:
        try:
            check_options(section)
        except SettingsInvalid as error:
            found.extend(error.problems)
    return [*found, *about_telling(settings)]


def about_telling(settings: Settings) -> list[Problem]:
    """Return the problems of channels and subscriptions."""
    notify = settings.notify
    found: list[Problem] = []
    for at, one in enumerate(notify.channel):
        try:
            channel_of(one)
        except ConfigError as error:
            where = f"notify.channel[{at}].url"
            found.append(Problem(setting=where, origin="", reason=str(error), hint=error.hint))
    try:
        read = Subscribed(notify.subscriptions, [one.name for one in notify.channel])
        found.extend(_find_market_problems(settings, read.in_effect))
    except SettingsInvalid as error:
        found.extend(error.problems)
    except ConfigError as error:
        name = "notify.subscriptions"
        found.append(Problem(setting=name, origin="", reason=str(error), hint=error.hint))
    return found


def _find_market_problems(settings: Settings, subscriptions: Subscriptions) -> list[Problem]:
    """Return subscriptions to impossible markets, which never match a notice."""
    protocols = sorted({one.protocol for one in settings.market})
    return [
        Problem(
            setting=f"subscription[{at}].markets",
            origin="",
            reason=f"{name!r} begins the key of no configured market",
            hint=f"keys begin with {' or '.join(protocols)}; `keeper scan` prints them",
        )
        for at, one in enumerate(subscriptions.subscription)
        for name in one.markets
        if name.partition(":")[0] not in protocols
    ]


def _flatten_settings(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield dotted names and printable values of every setting that has one."""
    for name in type(model).model_fields:
        if isinstance(model, Plugged) and name in Plugged.model_fields:
            continue
        yield from _format_values(f"{prefix}{name}", getattr(model, name))
    if isinstance(model, Plugged):
        yield from _format_values(prefix.rstrip("."), model.options)


def _format_values(name: str, value: object) -> Iterator[tuple[str, object]]:
    if _normalize_indices(name) in SECRETS and isinstance(value, SecretStr):
        yield name, HIDDEN
    elif isinstance(value, BaseModel):
        yield from _flatten_settings(value, f"{name}.")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _format_values(f"{name}.{key}", inner)
    elif isinstance(value, tuple | list) and not value:
        return
    elif isinstance(value, tuple | list):
        for index, inner in enumerate(value):
            yield from _format_values(f"{name}.{index}", inner)
    elif isinstance(value, SecretStr):
        yield name, endpoint_label(value.get_secret_value())
    elif value is not None:
        yield name, value if isinstance(value, int) else str(value)


def _normalize_indices(name: str) -> str:
    """Return the name with every list index as 0, since all items are alike."""
    return ".".join("0" if part.isdigit() else part for part in name.split("."))


def _find_origin(name: str, loaded: Loaded) -> str:
    """Return where a value was set. A list's item may be set with its list."""
    while name:
        if name in loaded.origins:
            return loaded.origins[name]
        head, _, last = name.rpartition(".")
        if not last.isdigit():
            break
        name = head
    return "default"
