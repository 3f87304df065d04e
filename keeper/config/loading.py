"""Loading of settings from flags, environment, ``.env``, file and defaults, in this order."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from keeper.config.exposed import refuse_exposed
from keeper.config.models import NOT_IN_FILE, Settings
from keeper.config.problems import validated
from keeper.config.sources import (
    Value,
    env_file_values,
    environment_values,
    override_values,
    read_text,
    toml_tree,
    variable_name,
)
from keeper.domain.errors import ConfigError

DEFAULT_FILE: Final = Path("keeper.toml")

_SINGLE: Final = ("wallet", "policy", "journal", "run", "log", "observe")
_LISTS_OF_TEXT: Final = {("chain", "endpoints")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Valid settings with their file and the origin of each value.

    ``origins`` is keyed by dotted path (``market.0.from_block``). Settings that are not in it have
    their defaults. ``warnings`` concern files that other users can access.
    """

    settings: Settings
    path: Path
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def settings_path(given: Path | None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the settings file, from the argument, ``$KEEPER_CONFIG`` or ``keeper.toml``."""
    named = (os.environ if environ is None else environ).get("KEEPER_CONFIG")
    return given or (Path(named) if named else DEFAULT_FILE)


def overrides(pairs: Sequence[str] | None) -> dict[str, str]:
    """Return ``KEY=VALUE`` flags as a mapping.

    Raises:
        ConfigError: a flag has another form.
    """
    result = {}
    for pair in pairs or ():
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise ConfigError("--set takes KEY=VALUE", hint="--set policy.min_profit_usd=10")
        result[key.strip()] = value
    return result


def load(
    path: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Return the effective settings.

    ``environ`` defaults to the process's environment. ``.env`` is read from the settings file's
    folder, where relative paths in the settings start, too.

    Raises:
        ConfigError: a file is missing, unreadable, or contains a key and is accessible to others.
            Or a variable is not a setting.
        SettingsInvalid: values are wrong, with all problems at once.
    """
    environ = os.environ if environ is None else environ
    file = settings_path(path, environ)
    text = read_text(file, what="the settings file", hint="run `keeper init` or name one: --config")
    tree, origins = toml_tree(text, file.name)
    _refuse_secrets(tree, origins)
    warnings = refuse_exposed(file, text, tree, origins)
    from_env_file, more = env_file_values(file.parent / ".env")
    layers = [
        *from_env_file,
        *environment_values(environ),
        *override_values(overrides or {}),
    ]
    for value in layers:
        _put(tree, value)
        _note(origins, value)
    settings = validated(
        Settings,
        _fill_sections(tree, origins),
        where="",
        origins=origins,
        context={"base": file.parent.absolute()},
    )
    return Loaded(settings=settings, path=file, origins=origins, warnings=(*warnings, *more))


def _refuse_secrets(tree: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """Refuse secrets in a file that may be shared and committed."""
    for name in sorted(NOT_IN_FILE):
        section, _, key = name.partition(".")
        table = tree.get(section)
        if isinstance(table, Mapping) and key in table:
            raise ConfigError(
                f"{name}: may not stand in the settings file ({origins.get(name, origins[''])})",
                hint=f"move it to .env as {variable_name(name)}, and replace it: it was exposed",
            )


def _put(tree: dict[str, Any], value: Value) -> None:
    """Put a value at its path, creating sections and a list's next item."""
    *parents, last = value.path
    raw = value.raw
    if value.path in _LISTS_OF_TEXT and isinstance(raw, str):
        raw = [raw]
    here: Any = tree
    for part, following in zip(parents, [*parents[1:], last], strict=True):
        here = _ensure_child(here, part, value.origin, [] if isinstance(following, int) else {})
    _ensure_child(here, last, value.origin, raw)
    here[last] = raw


def _ensure_child(here: Any, part: str | int, origin: str, fresh: Any) -> Any:  # noqa: ANN401 (a tree of anything)
    """Return the value at ``part``, inserting ``fresh`` if it is missing."""
    if isinstance(part, int) and isinstance(here, list):
        if part > len(here):
            raise ConfigError(f"{origin} leaves out items of the list", hint=f"next: {len(here)}")
        if part == len(here):
            here.append(fresh)
        return here[part]
    if isinstance(part, str) and isinstance(here, dict):
        return here.setdefault(part, fresh)
    raise ConfigError(f"{origin} does not fit the settings file's structure")


def _note(origins: dict[str, str], value: Value) -> None:
    """Record a value's origin, and drop those of the values that it replaced."""
    name = ".".join(map(str, value.path))
    for below in [one for one in origins if one.startswith(f"{name}.")]:
        del origins[below]
    origins[name] = value.origin


def _fill_sections(tree: dict[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    """Return the tree with empty sections filled in, and each plug's origins added."""
    full = {section: {} for section in _SINGLE} | tree
    for section in ("market", "venue"):
        items = full.get(section)
        if isinstance(items, list):
            full[section] = [
                _add_origins(item, f"{section}.{index}", origins)
                for index, item in enumerate(items)
            ]
    return full


def _add_origins(item: Any, prefix: str, origins: Mapping[str, str]) -> Any:  # noqa: ANN401 (a tree of anything)
    if not isinstance(item, Mapping):
        return item
    section, _, index = prefix.partition(".")
    own = {
        name.removeprefix(prefix).lstrip("."): origin
        for name, origin in origins.items()
        if name == prefix or name.startswith(f"{prefix}.")
    }
    return {**item, "where": f"{section}[{index}]", "origins": own}
