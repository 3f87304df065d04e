"""Formats revert data as one short printable line, also for hostile data."""

import functools
from collections.abc import Mapping
from typing import Any, Final

from keeper.chain.abi import SELECTOR, decoded, load_abi, selector
from keeper.domain.errors import RpcMalformed

NO_REASON: Final = "reverted without a reason"
MAX_REASON: Final = 240
"""Characters of a reason. A longer one ends in an ellipsis."""

_ABIS: Final = ("LiquidationExecutor", "CureVault", "AaveV3Errors")
_NESTING: Final = 3
_SHOWN_BYTES: Final = 32


def failure_reason(revert_data: bytes) -> str:
    """Format why a call reverted, in one printable line, never empty, without raising.

    It decodes ``Error(string)`` (text, or error numbers as text), ``Panic``, the executor's and the
    vault's own errors (several steps are listed in order) and the ones of Aave 3.4 and later. For
    any other error it shows the selector.
    """
    return _truncate_reason(_format_reason(revert_data[: 1 << 16], _NESTING))


def step_reasons(revert_data: bytes) -> list[str]:
    """Decode each step's failure in a transaction without a success. Empty for other data."""
    if revert_data[:SELECTOR] != selector("NothingWorked(bytes[])"):
        return []
    try:
        (reasons,) = decoded(("bytes[]",), revert_data[SELECTOR:])
    except RpcMalformed:
        return []
    return [failure_reason(reason) for reason in reasons]


def _format_reason(data: bytes, depth: int) -> str:
    if len(data) < SELECTOR:
        return f"reverted with 0x{data.hex()}" if data else NO_REASON
    name, types = _load_errors().get(data[:SELECTOR], ("", ()))
    if not name:
        return f"unknown error 0x{data[:SELECTOR].hex()}"
    try:
        values = decoded(types, data[SELECTOR:])
    except RpcMalformed:
        return f"{name}(malformed)"
    if name == "Error":
        return str(values[0]) or NO_REASON
    if name == "NothingWorked" and depth:
        return "nothing worked: " + "; ".join(
            _format_reason(inner, depth - 1) for inner in values[0]
        )
    return f"{name}({', '.join(_format_value(value) for value in values)})"


def _format_value(value: object) -> str:
    if isinstance(value, bytes):
        return f"0x{value[:_SHOWN_BYTES].hex()}"
    return str(value)


def _truncate_reason(reason: str) -> str:
    printable = "".join(
        letter if letter.isprintable() else "?" for letter in reason[: MAX_REASON + 1]
    )
    # mutation: F30 reason-length
    return printable if len(printable) <= MAX_REASON else printable[: MAX_REASON - 1] + "…"


@functools.cache
def _load_errors() -> Mapping[bytes, tuple[str, tuple[str, ...]]]:
    known: dict[bytes, tuple[str, tuple[str, ...]]] = {
        selector("Error(string)"): ("Error", ("string",)),
        selector("Panic(uint256)"): ("Panic", ("uint256",)),
    }
    for abi in _ABIS:
        for entry in load_abi(abi):
            if entry["type"] == "error":
                types = _list_types(entry["inputs"])
                known[selector(f"{entry['name']}({','.join(types)})")] = (entry["name"], types)
    return known


def _list_types(inputs: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(str(item["type"]) for item in inputs)
