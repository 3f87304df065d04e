"""Detection of secrets in settings, including comments.

A provider's key is part of its endpoint's path, query, user or host. Any part that is not plainly a
word of an address counts as a key. A false positive costs an operator one ``chmod``, a false
negative lets others use the key.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

_URL: Final = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>\\^`{|}\]]*")
_WEB: Final = frozenset({"http", "https", "ws", "wss"})
_PLAIN: Final = frozenset({"file", "ipc", "unix"})
"""Schemes that name a file."""
_WORD: Final = re.compile(r"[a-z]{1,10}(?:[-_.][a-z0-9]{1,10}){0,2}|v?\d{1,6}(?:\.\d{1,3})*|[A-Z]")
"""A word of an address, such as ``mainnet``, ``arbitrum-one``, ``v2`` or the C of a C-chain."""
_TELLING: Final = re.compile(r"(?i)key|secret|token|passw|pwd|auth|jwt|credential|canary|signature")
_VERSION: Final = re.compile(r"v\d+(?:\.\d+)*")
_RANDOM: Final = re.compile(r"(?i)(?=[a-z-]*\d)(?=[\d-]*[a-z])[a-z0-9-]{20,}|[0-9a-f]{16,}")
_AFTER_VERSION: Final = frozenset(
    {"rpc", "ws", "wss", "http", "api", "demo", "public", "eth", "ethereum", "mainnet", "sepolia"}
    | {"holesky", "hoodi", "arbitrum", "optimism", "base", "polygon", "bsc", "avalanche", "gnosis"}
    | {"scroll", "linea", "evm", "node", "full", "archive"}
)
_SECRET_NAMES: Final = re.compile(
    r"(?i)(?:^|_)(?:secret|password|passphrase|private_key|api_?key)$"
)
_EXAMPLES: Final = re.compile(r"(?i)(?:^|\.)(?:example(?:\.(?:com|org|net))?|invalid)$")
"""Reserved host names (RFC 2606), which mark an example in a comment."""
_CHANNEL: Final = re.compile(r"notify\.channel\.\d+\.(?:url|secret)")


def has_key(url: str) -> bool:
    """Whether an address probably contains a key. A file path does not."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() in _PLAIN:
        return False
    if scheme.lower() not in _WEB:
        return True  # in an Apprise URL anything may be a token
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    return "@" in parts.netloc or any(map(_is_random, _list_labels(parts))) or _is_keyed(parts)


def find_keys(tree: Any, path: str = "") -> Iterator[str]:  # noqa: ANN401 (a tree of anything)
    """Yield the dotted names of values that are secret, or addresses with a key."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from find_keys(value, f"{path}.{name}" if path else str(name))
    elif isinstance(tree, list | tuple):
        for place, value in enumerate(tree):
            yield from find_keys(value, f"{path}.{place}")
    elif isinstance(tree, str) and tree and _is_secret(path, tree):
        yield path


def find_keys_in_text(text: str) -> Iterator[int]:
    """Yield the numbers of lines with a key in an address, also in comments, except examples."""
    for number, line in enumerate(text.splitlines(), start=1):
        found = (match.group().rstrip(".,;:)") for match in _URL.finditer(line))
        if any(has_key(url) and not _is_example(url) for url in found):
            yield number


def _is_secret(path: str, value: str) -> bool:
    named = _CHANNEL.fullmatch(path) or _SECRET_NAMES.search(path.rpartition(".")[2])
    return bool(named) or has_key(value)


def _is_keyed(parts: SplitResult) -> bool:
    """Whether path, query or fragment contain other text than words of an address."""
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    if not all(map(_is_word, segments)) or _has_key_after_version(segments):
        return True
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    named = any(_TELLING.search(name) or not _is_word(value) for name, value in pairs if value)
    bare = any(not _is_word(name) for name, value in pairs if not value)
    return named or bare or bool(parts.fragment and not _is_word(parts.fragment))


def _has_key_after_version(segments: list[str]) -> bool:
    """Whether the path ends like a provider's, as in ``/v2/key``."""
    *before, last = segments or [""]
    versioned = bool(before and _VERSION.fullmatch(before[-1]))
    return versioned and last not in _AFTER_VERSION and not _VERSION.fullmatch(last)


def _is_word(text: str) -> bool:
    return bool(_WORD.fullmatch(text)) and not _TELLING.search(text)


def _list_labels(parts: SplitResult) -> list[str]:
    host = parts.hostname or ""
    return [] if ":" in host else host.split(".")


def _is_random(label: str) -> bool:
    return bool(_RANDOM.fullmatch(label))


def _is_example(url: str) -> bool:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return False
    return bool(host and _EXAMPLES.search(host))
