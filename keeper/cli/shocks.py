"""Parses ``--shock WETH=-20%`` and ``--curve -50:0:5``."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from keeper.config import nearest
from keeper.domain.errors import ConfigError
from keeper.domain.units import Address

Percent = Decimal

_SHOCK: Final = re.compile(r"(?P<name>[^=]+)=(?P<percent>[+-]?\d+(\.\d+)?)%")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d+)?")
_ALL: Final = Percent(-100)
MOST_POINTS: Final = 1_000
"""The most points of a curve."""


def read_shocks(texts: Sequence[str]) -> dict[str, Percent]:
    """Parse the moves by the name or address as written.

    Raises:
        ConfigError: it is not NAME=PERCENT%, falls by more than 100 %, or is given twice.
    """
    found: dict[str, Percent] = {}
    for text in texts:
        matched = _SHOCK.fullmatch(text.strip())
        if matched is None:
            raise ConfigError(f"{text!r} is not a shock", hint="for example --shock WETH=-20%")
        name, percent = matched["name"].strip(), Percent(matched["percent"])
        if percent < _ALL:
            raise ConfigError(f"{text!r}: a price cannot fall by more than 100%")
        if name in found:
            raise ConfigError(f"the price of {name} is changed twice")
        found[name] = percent
    return found


def read_curve(text: str) -> list[Percent]:
    """Parse the percentages of ``FROM:TO:STEP``, including ends that the step reaches.

    Raises:
        ConfigError: it is not three numbers, the step does not lead there, or is too small.
    """
    parts = text.removesuffix("%").split(":")
    if len(parts) != 3 or not all(_NUMBER.fullmatch(part) for part in parts):  # noqa: PLR2004 (FROM:TO:STEP)
        raise ConfigError(f"{text!r} is not a range", hint="for example --curve -50:0:5")
    first, last, step = (Percent(part) for part in parts)
    if min(first, last) < _ALL:
        raise ConfigError(f"{text!r}: a price cannot fall by more than 100%")
    if step == 0 or (last - first) / step < 0:
        raise ConfigError(f"{text!r}: the step does not lead from {first} to {last}")
    points = int((last - first) / step) + 1
    if points > MOST_POINTS:
        raise ConfigError(f"{text!r} has {points} points", hint=f"at most {MOST_POINTS}")
    return [first + step * number for number in range(points)]


def resolved(names: Sequence[str], symbols: Mapping[Address, str]) -> dict[str, Address]:
    """Find the used token of each name or address.

    Raises:
        ConfigError: a name matches none or several tokens, or two names match the same.
    """
    found: dict[str, Address] = {}
    for name in names:
        token = _resolve_token(name, symbols)
        other = next((known for known, one in found.items() if one == token), None)
        if other is not None:
            raise ConfigError(f"{other} and {name} are the same token", hint="move it once")
        found[name] = token
    return found


def _resolve_token(name: str, symbols: Mapping[Address, str]) -> Address:
    lowered = name.lower()
    found = [
        token for token, symbol in symbols.items() if lowered in (token.lower(), symbol.lower())
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f"{name} names {len(found)} tokens", hint=f"use an address: {', '.join(sorted(found))}"
        )
    near = nearest(name, sorted(set(symbols.values())))
    hint = f"did you mean {near}?" if near else f"used here: {', '.join(sorted(symbols.values()))}"
    raise ConfigError(f"no account holds or owes {name}", hint=hint)
