"""Sources of settings, as TOML file, ``.env``, environment and flags."""

import io
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dotenv.parser import parse_stream

from keeper.config.exposed import refuse_exposed, refuse_foreign
from keeper.config.models import NOT_IN_FILE, Settings, leaves
from keeper.config.problems import Problem, SettingsInvalid, nearest
from keeper.config.types import EnvText, file_float
from keeper.domain.errors import ConfigError

PREFIX: Final = "KEEPER_"
OTHER_VARIABLES: Final = frozenset({"KEEPER_CONFIG", "KEEPER_FAILPOINT"})
"""Variables of ours that are not settings."""

_HEADER: Final = re.compile(r"^\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(#.*)?$")
_KEY: Final = re.compile(r"^\s*([A-Za-z0-9_\"'-]+(?:\s*\.\s*[A-Za-z0-9_\"'-]+)*)\s*=")
_POSITION: Final = re.compile(r"\s*\(at line (\d+), column \d+\)")

Path_ = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One setting as written in a source, not validated yet."""

    path: Path_
    raw: Any
    origin: str


def read_text(path: Path, *, what: str, hint: str) -> str:
    """
    Return a small text file, without a byte order mark.

    Raises:
        ConfigError: missing, not a file, not readable, not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{what} {path} does not exist", hint=hint) from None
    except IsADirectoryError:
        raise ConfigError(f"{what} {path} is a folder", hint="name the file in it") from None
    except PermissionError:
        raise ConfigError(f"{what} {path} may not be read by this user") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{what} {path} is not UTF-8 text", hint="save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{what} {path} cannot be read: {error.strerror}") from None


def toml_tree(text: str, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Parse a file into its tables, and ``file:line`` by dotted path.

    Raises:
        ConfigError: not TOML, with the line.
    """
    try:
        tree = tomllib.loads(text, parse_float=file_float)
    except tomllib.TOMLDecodeError as error:
        at = _POSITION.search(str(error))
        line = f":{at.group(1)}" if at else ""
        reason = _POSITION.sub("", str(error)).lower()
        raise ConfigError(f"{name}{line} is not valid TOML: {reason}") from None
    lines = {path: f"{name}:{number}" for path, number in _find_line_numbers(text)}
    return tree, lines | {"": name}


def _find_line_numbers(text: str) -> Iterator[tuple[str, int]]:
    """Yield dotted paths and their first lines. The file must be valid."""
    table: list[str] = []
    counts: dict[str, int] = {}
    inside = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if inside:
            inside = "" if inside in line else inside
            continue
        header, key = _HEADER.match(line), _KEY.match(line)
        if header is not None:
            table = _split_key(header.group(2))
            if header.group(1) == "[[":
                name = ".".join(table)
                counts[name] = counts.get(name, -1) + 1
                table = [*table, str(counts[name])]
            yield ".".join(table), number
        elif key is not None:
            yield ".".join([*table, *_split_key(key.group(1))]), number
            inside = _find_open_quotes(line)


def _split_key(text: str) -> list[str]:
    return [part.strip().strip("\"'") for part in text.split(".")]


def _find_open_quotes(line: str) -> str:
    """Return the quotes of a multi-line string that this line leaves open."""
    for quotes in ('"""', "'''"):
        if line.count(quotes) % 2:
            return quotes
    return ""


def env_file_values(path: Path) -> tuple[list[Value], list[str]]:
    """Return the settings of a ``.env`` file with warnings, none without the file.

    Raises:
        ConfigError: a line is not NAME=VALUE, a name is repeated or not a setting, others may
            read a secret in it, or another user created it.
    """
    if not path.exists():
        return [], []
    refuse_foreign(path)
    text = read_text(path, what="the file", hint="")
    seen: dict[str, int] = {}
    values: list[Value] = []
    for binding in parse_stream(io.StringIO(text.replace("\r\n", "\n"))):
        where = f"{path.name}:{_compute_line(binding.original.line, binding.original.string)}"
        if binding.error or (binding.key is not None and binding.value is None):
            raise ConfigError(f"{where} is not NAME=VALUE", hint="close quotes, set a value")
        if binding.key is None or binding.value is None:
            continue
        if binding.key in seen:
            raise ConfigError(
                f"{where} sets {binding.key} again", hint=f"it is in line {seen[binding.key]} too"
            )
        seen[binding.key] = binding.original.line
        values.append(_build_value(binding.key, binding.value, f"{where} {binding.key}"))
    tree = {".".join(map(str, value.path)): value.raw for value in values}
    origins = {".".join(map(str, value.path)): value.origin for value in values}
    return values, refuse_exposed(path, text, tree, origins)


def _compute_line(first: int, text: str) -> int:
    """Return a binding's line, skipping the empty lines at its start."""
    return first + len(text) - len(text.lstrip("\n"))


def environment_values(environ: Mapping[str, str]) -> list[Value]:
    """Return the settings among the environment's variables, by name.

    Raises:
        ConfigError: a ``KEEPER_`` variable is not a setting.
    """
    return [
        _build_value(name, environ[name], f"environment {name}")
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in OTHER_VARIABLES
    ]


def override_values(pairs: Mapping[str, str], origin: str = "flag") -> list[Value]:
    """
    Return overrides from flags: ``{"policy.min_profit_usd": "10"}``.

    Raises:
        ConfigError: an override is not a setting, or is a secret.
    """
    values = []
    for name, text in pairs.items():
        path = tuple(int(part) if part.isdigit() else part for part in name.split("."))
        if name in NOT_IN_FILE:
            raise ConfigError(
                f"{name} may not be given on the command line, where other users see it",
                hint=f"set {variable_name(name)} in the environment or in .env",
            )
        if not _is_known(path):
            match = nearest(name, leaves(Settings))
            hint = f"did you mean {match}?" if match else ""
            raise ConfigError(f"{name} is not a setting", hint=hint)
        values.append(Value(path=path, raw=_parse_value(text, name), origin=f"{origin} {name}"))
    return values


def variable_name(setting: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + setting.upper().replace(".", "__")


def _build_value(name: str, text: str, origin: str) -> Value:
    """Return a variable as a value, or refuse an unknown name."""
    path: Path_ = tuple(
        int(part) if part.isdigit() else part
        for part in name.removeprefix(PREFIX).lower().split("__")
    )
    if not name.startswith(PREFIX) or not _is_known(path):
        known = [*map(variable_name, leaves(Settings)), *OTHER_VARIABLES]
        match = nearest(name, known)
        hint = f"did you mean {match}?" if match else "settings are KEEPER_SECTION__KEY"
        raise SettingsInvalid(
            [Problem(setting=name, origin=origin, reason="is not a setting", hint=hint)]
        )
    return Value(path=path, raw=_parse_value(text, name), origin=origin)


def _is_known(path: Path_) -> bool:
    """Whether a path names a setting, a list's item, or an adapter's option."""
    shape = ["0" if isinstance(part, int) else part for part in path]
    known = list(leaves(Settings))
    name = ".".join(shape)
    if name in known or (shape[-1] == "0" and ".".join(shape[:-1]) in known):
        return True
    if len(shape) == 1:
        return any(one.startswith(f"{name}.0.") for one in known)
    return len(shape) >= 3 and shape[0] in {"market", "venue"} and shape[1] == "0"  # noqa: PLR2004


def _parse_value(text: str, name: str) -> Any:  # noqa: ANN401 (JSON)
    """Parse lists and objects from JSON. Everything else is untyped text."""
    if not text.lstrip().startswith(("[", "{")):
        return EnvText(text)
    try:
        return _mark_env_text(json.loads(text, parse_float=file_float))
    except ValueError:
        raise ConfigError(f"{name} is not valid JSON", hint='a list is ["a", "b"]') from None


def _mark_env_text(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Return JSON with its texts marked as coming from the environment."""
    if isinstance(value, str):
        return EnvText(value)
    if isinstance(value, list):
        return [_mark_env_text(one) for one in value]
    if isinstance(value, dict):
        return {key: _mark_env_text(one) for key, one in value.items()}
    return value
