"""Describes connection errors without the endpoint's URL."""

import email.utils
import re
import ssl
from collections.abc import Mapping
from datetime import UTC
from typing import Final

import aiohttp

from keeper.chain.endpoint import Endpoint
from keeper.clock import wall
from keeper.domain.errors import RpcBusy, RpcUnavailable

TOO_MANY: Final = 429
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")


def cause(error: Exception) -> str:
    """Return why the endpoint was unreachable, such as DNS, TLS, refusal or timeout."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        inner = getattr(error, "certificate_error", None) or error.__cause__
        if isinstance(inner, ssl.SSLCertVerificationError):
            return f"its certificate is not valid ({inner.verify_message})"
        return "the encrypted connection failed"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "the connection is refused" if _is_refused(error) else "there is no way to it"
    return type(error).__name__


def unavailable(
    endpoint: Endpoint, status: int, headers: Mapping[str, str] | None
) -> RpcUnavailable:
    """Build the error for an HTTP status of a temporary failure."""
    stated = headers or {}
    # A date is meant by the other side's clock, which it states, too.
    now = _parse_http_date(stated.get("Date", ""))
    seconds = retry_after(stated.get("Retry-After", ""), wall() if now is None else now)
    if status == TOO_MANY or seconds is not None:
        return RpcBusy(f"{endpoint} asks for patience (status {status})", seconds=seconds)
    return RpcUnavailable(f"{endpoint} answered with status {status}")


def retry_after(text: str, now: float) -> float | None:
    """Parse the seconds of a Retry-After header, a number or a date after ``now``."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    then = _parse_http_date(text)
    return None if then is None else max(0.0, then - now)


def _parse_http_date(text: str) -> float | None:
    """Parse an HTTP date to Unix seconds. None if invalid."""
    try:
        stated = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return (stated if stated.tzinfo else stated.replace(tzinfo=UTC)).timestamp()


def _is_refused(error: aiohttp.ClientConnectorError) -> bool:
    return isinstance(error.os_error, ConnectionRefusedError)
