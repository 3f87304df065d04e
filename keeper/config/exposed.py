"""Refusal of settings files that contain a key and are accessible to other users of the machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keeper.config.keys import find_keys, find_keys_in_text
from keeper.domain.errors import ConfigError
from keeper.exposure import find_exposures


def refuse_exposed(
    path: Path, text: str, tree: Mapping[str, Any], origins: Mapping[str, str]
) -> list[str]:
    """Return warnings for a file without a key that others can read, change or replace.

    ``tree`` are its settings, ``origins`` the position of each by dotted name.

    Raises:
        ConfigError: the file contains a key, in its settings or in a comment.
    """
    exposures = find_exposures(path)
    if not exposures:
        return []
    first = exposures[0]
    holders = [_find_origin(name, origins) for name in find_keys(tree)]
    holders += [f"{path.name}:{number}" for number in find_keys_in_text(text)]
    if holders:
        raise ConfigError(
            f"{path.name} holds a secret and {first.problem} ({holders[0]})", hint=first.hint
        )
    return [f"{path.name}: {found.problem}; {found.hint}" for found in exposures]


def refuse_foreign(path: Path) -> None:
    """Refuse an implicitly searched file that another user created.

    Raises:
        ConfigError: the file, or the link to it, belongs neither to this user nor to root.
    """
    for found in find_exposures(path):
        if found.is_foreign:
            raise ConfigError(f"{path} is not used: {found.problem}", hint=found.hint)


def _find_origin(name: str, origins: Mapping[str, str]) -> str:
    """Return the position of a value, or of the nearest setting around it."""
    while name and name not in origins:
        name = name.rpartition(".")[0]
    return origins.get(name, name)
