"""Parses a policy argument, a name, a name with changes, or a settings file."""

from pathlib import Path
from typing import Any

from keeper.config import Policy, load, validated
from keeper.config.margin import Calls, Oracle
from keeper.config.types import EnvText
from keeper.domain.errors import ConfigError
from keeper.margin.settings import Confirms, MarginSettings

ANY_CHAIN = 1


def policy_of(text: str) -> MarginSettings:
    """Parse a policy to the settings of margin calls and restraint.

    ``guardian+guard.blocks=5+grace.liquidatable_seconds=600`` changes settings of ``[policy]``.

    Raises:
        ConfigError: there is no such policy, setting or file, or it needs a second source.
    """
    if text.endswith(".toml"):
        return _refuse_second_sources(load(Path(text)).settings.margin(both_clocks=False), text)
    name, *changes = text.split("+")
    tree: dict[str, Any] = {"name": EnvText(name)}
    for one in changes:
        key, separator, value = one.partition("=")
        if not separator:
            raise ConfigError(f"{one!r} is not KEY=VALUE", hint="guardian+guard.blocks=5")
        *sections, last = key.split(".")
        here = tree
        for section in sections:
            here = here.setdefault(section, {})
        here[last] = value.split(",") if last == "confirm" else EnvText(value)
    policy = validated(Policy, tree, where="policy")
    return _refuse_second_sources(policy.margin(ANY_CHAIN, Oracle(), Calls()), text)


def _refuse_second_sources(wanted: MarginSettings, text: str) -> MarginSettings:
    """Return the settings, unless they need second sources, which a price path lacks."""
    if Confirms.SECOND_SOURCE in wanted.guard.confirm:
        raise ConfigError(
            f"{text} confirms by a second source, and a price path has none",
            hint="rehearse it with guard.confirm=blocks, seconds or window",
        )
    return wanted
