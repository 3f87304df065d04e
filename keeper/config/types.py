"""Value types of settings, each with one clear error for a refused value.

A number in the file has a type. Values from the environment are text, marked as ``EnvText``, and
only such text is parsed as a number.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Final, NoReturn
from urllib.parse import urlsplit

from eth_utils.address import to_checksum_address
from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo
from pydantic_core import PydanticCustomError

from keeper.domain.units import Address

ENDPOINT_SCHEMES: Final = ("ws", "wss", "http", "https")
CURVE_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Exclusive upper bound of a private key (secp256k1)."""

SHOWN_LENGTH: Final = 60
"""Maximum of characters of a wrong value in a message."""

_DIGITS: Final = re.compile(r"0|[1-9][0-9]*")
_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]+)?")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_KEY: Final = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_LINK_LOCAL: Final = "169.254."


class EnvText(str):
    """Text from the environment, from ``.env`` or from a flag, still untyped."""

    __slots__ = ()


class OddNumber(str):
    """A number in the file that is not written in digits, such as ``1e3``, ``nan`` or ``inf``."""

    __slots__ = ()


def file_float(text: str) -> Decimal | OddNumber:
    """Parse a TOML float exactly or as ``OddNumber``, for ``tomllib``'s ``parse_float``."""
    return Decimal(text) if _DECIMAL.fullmatch(text.lstrip("-")) else OddNumber(text)


def refuse(reason: str, *, hint: str = "") -> NoReturn:
    """Refuse the value under validation, with the reason and a hint."""
    raise PydanticCustomError("keeper", "{reason}", {"reason": reason, "hint": hint})


def shown(value: object) -> str:
    """Return a value for a message, shortened, and never an endpoint's address."""
    text = repr(str(value) if isinstance(value, str | Decimal) else value)
    if "://" in text:
        return "the value"
    return text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "...'"


def _parse_whole(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, EnvText) and _DIGITS.fullmatch(value):
        return int(value)
    refuse(f"{shown(value)} is not a whole number", hint="write digits only, as in 1000")


def _parse_exact(value: object) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and not isinstance(value, OddNumber) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    refuse(f"{shown(value)} is not a decimal number", hint='write it out, as in "1.25"')


def _parse_flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, EnvText) and value in {"true", "false"}:
        return value == "true"
    refuse(f"{shown(value)} is neither true nor false", hint="write true or false")


def _parse_text(value: object) -> str:
    if not isinstance(value, str) or isinstance(value, OddNumber):
        refuse(f"{shown(value)} is not text", hint="put it in quotes")
    if not value.strip():
        refuse("is empty")
    if value != value.strip() or any(ord(one) < ord(" ") for one in value):
        refuse(f"{shown(value)} has blanks or control characters around or in it")
    return str(value)


def _parse_address(value: object) -> Address:
    hint = "write 0x and 40 hexadecimal digits, with a valid checksum or all in lower case"
    text = _parse_text(value)
    if not _ADDRESS.fullmatch(text):
        digits = len(text.removeprefix("0x"))
        counted = f" ({digits} digits)" if text.startswith("0x") else ""
        refuse(f"{shown(text)} is not an address{counted}", hint=hint)
    if int(text, 16) == 0:
        refuse("the zero address is not allowed", hint=hint)
    checksummed = str(to_checksum_address(text))
    if text not in (checksummed, text.lower()):
        refuse(f"{shown(text)} has a wrong checksum: one digit may be mistyped", hint=hint)
    return Address(checksummed)


def _parse_endpoint(value: object) -> SecretStr:
    hint = "write ws://, wss://, http:// or https:// with a host, or /path/to/node.ipc"
    if not isinstance(value, str) or isinstance(value, OddNumber):
        refuse("an endpoint must be text", hint=hint)
    if value != value.strip() or not value.isascii() or not value.isprintable() or not value:
        refuse("an endpoint is empty or has blanks or foreign characters in it", hint=hint)
    if value.startswith(("/", "ipc:")):
        return SecretStr(str(value))
    _check_url(value, hint)
    return SecretStr(str(value))


def _check_url(value: str, hint: str) -> None:
    scheme, separator, _ = value.partition("://")
    if not separator:
        refuse("an endpoint has no scheme", hint=hint)
    if scheme not in ENDPOINT_SCHEMES:
        refuse(f"an endpoint has the unknown scheme {shown(scheme)}", hint=hint)
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or " " in value:
        refuse("an endpoint has no valid host and port", hint=hint)
    if host.startswith(_LINK_LOCAL):
        refuse("an endpoint is a link-local address, where no node is", hint=hint)


def _parse_path(value: object, info: ValidationInfo) -> Path:
    text = (value if isinstance(value, Path) else Path(_parse_text(value))).expanduser()
    base = (info.context or {}).get("base")
    return text if base is None else Path(base) / text


def _validate_private_key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    hint = "64 hexadecimal digits, with or without 0x"
    if not _KEY.fullmatch(text):
        refuse("is not a private key", hint=hint)
    if not 0 < int(text, 16) < CURVE_ORDER:
        refuse("is out of the range of private keys", hint=hint)
    return value


def _refuse_empty_secret(value: SecretStr) -> SecretStr:
    if not value.get_secret_value():
        refuse("is empty")
    return value


Whole = Annotated[int, BeforeValidator(_parse_whole)]
"""A whole number, digits only. Bounds come from ``Field``."""

Exact = Annotated[Decimal, BeforeValidator(_parse_exact)]
"""An exact decimal number, as text or written in the file, never a float."""

Flag = Annotated[bool, BeforeValidator(_parse_flag)]
"""true or false, nothing else."""

Text = Annotated[str, BeforeValidator(_parse_text)]
"""Nonempty text without blanks around it."""

AddressText = Annotated[Address, BeforeValidator(_parse_address)]
"""A nonzero address, converted to its EIP-55 checksum form."""

EndpointText = Annotated[SecretStr, BeforeValidator(_parse_endpoint)]
"""A node's address, secret since it usually contains a key."""

FilePath = Annotated[Path, BeforeValidator(_parse_path)]
"""A path, relative to the settings file's folder."""

SecretText = Annotated[SecretStr, AfterValidator(_refuse_empty_secret)]
"""A nonempty password, never printed."""

PrivateKey = Annotated[SecretStr, AfterValidator(_validate_private_key)]
"""A private key in the curve's range, never printed."""
