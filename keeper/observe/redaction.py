"""
Secrets out of text: what any log line, error or traceback passes through.

Endpoints carry keys in their path, query or user part, so an address keeps its
scheme and host only. Thirty-two bytes of hex are a transaction or a block as often
as a key; they are hidden where a word before them says that they are a key.
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
"""What stands in a secret's place."""

_WITH_A_HOST: Final = frozenset({"http", "https", "ws", "wss"})
"""Schemes whose first part is a host; in others it may be a token (``tgram://token/chat``)."""


def endpoint_label(url: str) -> str:
    """Return what may be shown of an endpoint: scheme and host; the bare scheme for a path."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "ipc" if "/" in url or url.endswith(".ipc") else HIDDEN
    if scheme.lower() not in _WITH_A_HOST:
        return f"{scheme}://{HIDDEN}"
    host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]
    return f"{scheme}://{host or HIDDEN}"


def redacted(text: str) -> str:
    """Return ``text`` without endpoint paths, keys and tokens; line breaks stay."""
    text = _URL.sub(_shown_url, text)
    text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
    return _KEY.sub(rf"\1{HIDDEN}", text)


def one_line(text: str) -> str:
    """Return ``text`` redacted, without terminal escapes, on one line."""
    return _CONTROL.sub(" ", _ANSI.sub("", redacted(text))).strip()


def _shown_url(match: re.Match[str]) -> str:
    """Return the label, and the full stop or bracket that only followed the address."""
    rest = match.group(2)
    trailing = rest[len(rest.rstrip(".,;:)]")) :]
    return endpoint_label(f"{match.group(1)}://{rest[: len(rest) - len(trailing)]}") + trailing
