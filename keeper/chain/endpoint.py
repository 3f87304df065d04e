"""Endpoint of a node. Its URL is never shown, since URLs contain keys."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from keeper.domain.errors import ConfigError

SCHEMES: Final = ("http", "https", "ws", "wss", "ipc")
MAX_TEXT: Final = 300

_URL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://\S+")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


@dataclass(frozen=True, slots=True, repr=False)
class Endpoint:
    """An endpoint. ``address`` is a URL, or a path for ipc, and is secret."""

    scheme: str
    host: str
    address: str = field(repr=False)

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """The displayable part, scheme and host, or ``ipc`` for a socket."""
        return "ipc" if self.scheme == "ipc" else f"{self.scheme}://{self.host}"

    @property
    def is_loopback(self) -> bool:
        """Whether the node is on this machine."""
        if self.scheme == "ipc" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def endpoint(address: str) -> Endpoint:
    """Parse an endpoint from an http(s) or ws(s) URL, or from an ``ipc:`` or ``/`` path.

    Raises:
        ConfigError: it is none of those. The message does not repeat it.
    """
    if address.startswith(("/", "ipc:")):
        return Endpoint("ipc", "ipc", address.removeprefix("ipc:").removeprefix("//"))
    try:
        parts = urlsplit(address)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in SCHEMES:
        raise ConfigError(
            "an endpoint is not the address of a node",
            hint="write http://, https://, ws:// or wss:// with a host, or the path of a socket",
        ) from None
    return Endpoint(parts.scheme, host, address)


def sanitised(text: object) -> str:
    """Return foreign text without URLs and control characters, with bounded length."""
    if not isinstance(text, str):
        return type(text).__name__
    plain = _URL.sub("[address]", _CONTROL.sub(" ", text[: 4 * MAX_TEXT])).strip()
    return plain if len(plain) <= MAX_TEXT else plain[:MAX_TEXT] + "…"
