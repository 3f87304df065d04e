"""Validation of the listening address and port."""

import ipaddress
import re
from typing import Annotated, Final

from pydantic import BeforeValidator

from keeper.config.types import OddNumber, Text, refuse, shown

MAX_PORT: Final = 65_535

_LISTEN: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]/@\s]+):(0|[1-9][0-9]{0,4})")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")


def listen_address(text: str) -> tuple[str, int]:
    """Return host and port of a valid ``observe.listen``, an IPv6 host without brackets."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether a host is a loopback address or ``localhost``."""
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def _validate_listen(value: object) -> str:
    hint = 'write an address and a port, as in "127.0.0.1:9464", or "" to listen nowhere'
    if not isinstance(value, str) or isinstance(value, OddNumber):
        refuse(f"{shown(value)} is not text", hint=hint)
    if value == "":
        return ""
    if not _LISTEN.fullmatch(value):
        refuse(f"{shown(value)} is not an address and a port", hint=hint)
    host, port = listen_address(value)
    try:
        is_loopback(host)
    except ValueError:
        refuse(f"{shown(host)} is not an address of this machine", hint=hint)
    if port > MAX_PORT:
        refuse(f"there is no port {port}", hint=f"ports end at {MAX_PORT}")
    return str(value)


def _validate_host(value: str) -> str:
    name = value.lower().strip("[]")
    if not _HOST.fullmatch(name):
        refuse(f"{shown(value)} is not a host's name", hint="without scheme and port")
    return name


ListenText = Annotated[str, BeforeValidator(_validate_listen)]
"""``address:port`` with a numeric address or ``localhost``. Empty to listen nowhere."""

HostText = Annotated[Text, BeforeValidator(lambda value: _validate_host(str(value)))]
"""A client's host name, in lower case, without port and brackets."""
