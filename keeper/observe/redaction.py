"""Redaction of secrets in log lines, errors and tracebacks.

Endpoints carry keys in their path, query or user part, so an address keeps only its scheme and
host. 32 bytes of hex may be a transaction, a block or a key. They are hidden after a word that
announces a key.
"""

import re
from typing import Final

_URL: Final = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.-]*)://([^\s'\"<>\\^`{|}]*)")
_KEY: Final = re.compile(
    r"(?i)((?:private|secret|signing|hot|api)?[\s_-]*(?:key|secret|seed|password|passphrase)\w*"
    r"['\"]?\s*(?:[:=(]|\bis\b|\s)\s*['\"]?)(?:0x)?[0-9a-f]{64}\b"
)
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic|token)(\s+|\s*[:=]\s*)[A-Za-z0-9._~+/=-]{16,}")
_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

HIDDEN: Final = "***"
"""The replacement of a secret."""

_WITH_A_HOST: Final = frozenset({"http", "https", "ws", "wss"})
"""Schemes with a host first. In others it may be a token (``tgram://token/chat``)."""


def endpoint_label(url: str) -> str:
    """Return an endpoint's printable part, its scheme and host, or ``ipc`` for a path."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "ipc" if "/" in url or url.endswith(".ipc") else HIDDEN
    if scheme.lower() not in _WITH_A_HOST:
        return f"{scheme}://{HIDDEN}"
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{host or HIDDEN}"  # mutation: G31 endpoint-path


def redacted(text: str) -> str:
    """Return ``text`` without endpoint paths, keys and tokens. Line breaks remain."""
    text = _URL.sub(_redact_url, text)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
    return _KEY.sub(rf"\1{HIDDEN}", text)


def one_line(text: str) -> str:
    """Return ``text`` redacted, without terminal escapes, on one line."""
    return _CONTROL.sub(" ", _ANSI.sub("", redacted(text))).strip()


def _redact_url(match: re.Match[str]) -> str:
    """Return the endpoint's label, with the punctuation that followed its address."""
    rest = match.group(2)
    trailing = rest[len(rest.rstrip(".,;:)]")) :]
    return endpoint_label(f"{match.group(1)}://{rest[: len(rest) - len(trailing)]}") + trailing
