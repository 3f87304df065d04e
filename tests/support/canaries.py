"""
Marked secrets, and a watch over everything that the suite makes the keeper write.

A secret is marked where it comes into being: every key that a signer takes, every ``SecretStr``
of a settings object, every secret variable that a process is started with, and the path that
chain tests put behind their endpoints. What is looked at: what processes and commands print,
logs and captured output of each test, the pages of a running node, and every file (journals,
logs, exports) that tests leave. ``tests/conftest.py`` puts the watch on.
"""

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from keeper.execution import signer

ENDPOINT_KEY = "canaryOfTheEndpoint7f3a91c5"
"""What chain tests put behind the address of their node, as a provider's key."""

LEAST_LENGTH = 12
LEAST_LETTERS = 6
"""Shorter or simpler secrets occur by chance."""

INPUTS = re.compile(
    r"^(\.env|.*\.toml|.*password.*|key|.*\.key|.*key-file.*|.*secret.*|anvil.*\.log|.*\.py)$"
)
"""Files in which a secret has its place: a user, a test, or Anvil about its own accounts put it.
Source is ours: the curve's order, which stands in it, is a key that some test tries."""

_HEX_KEY = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
_SECRET_VARIABLE = re.compile(
    r"^KEEPER_.*(PRIVATE_KEY|PASSWORD|SECRET|TOKEN|ENDPOINTS|URLS?)(__\d+)?$"
)

_marked: dict[bytes, str] = {}


def marked_endpoint(url: str) -> str:
    """Return a node's address with a provider's key in it, unless it has one already."""
    parts = urlsplit(url)
    bare = parts.scheme in {"http", "https", "ws", "wss"} and parts.path in {"", "/"}
    return f"{url.rstrip('/')}/?key={ENDPOINT_KEY}" if bare and not parts.query else url


def mark(secret: str, what: str) -> None:
    """Remember a secret, and for a key the other forms in which it can be read."""
    key = _HEX_KEY.fullmatch(secret.strip())
    if key is None:
        for part in _telling(secret):
            _marked[part.encode()] = what
        return
    digits = key[1].lower()
    if len(set(digits)) >= LEAST_LETTERS:
        _marked[digits.encode()] = what
        _marked[digits.upper().encode()] = what
        _marked[bytes.fromhex(digits)] = what
        _marked[str(int(digits, 16)).encode()] = what


def _telling(secret: str) -> Iterator[str]:
    """Yield what of a secret would give it away: of an address, all but scheme and host."""
    if "://" in secret:
        try:
            parts = urlsplit(secret)
        except ValueError:
            return
        whole = [parts.path, parts.query, parts.username or "", parts.password or ""]
        pieces = [*whole, *parts.path.split("/"), *parts.query.split("=")]
    else:
        pieces = [secret]
    for one in pieces:
        if len(one) >= LEAST_LENGTH and len(set(one)) >= LEAST_LETTERS:
            yield one


def leaks(text: str | bytes) -> list[str]:
    """Return which marked secrets are in a text."""
    raw = text.encode(errors="surrogateescape") if isinstance(text, str) else text
    return sorted({what for secret, what in _marked.items() if secret in raw})


def refuse_leaks(text: str | bytes | None, where: str) -> None:
    """Fail the test where a marked secret is in a text; the message does not repeat it."""
    found = leaks(text) if text else []
    if found:
        pytest.fail(f"{where} holds a secret: {', '.join(found)}", pytrace=False)


def leaking_files(folder: Path) -> list[str]:
    """Return the files below a folder that hold a secret and are none of its places."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or INPUTS.match(path.name):
            continue
        whats = leaks(path.read_bytes())
        if whats:
            found.append(f"{path.relative_to(folder)}: {', '.join(whats)}")
    return found


def watch(patch: pytest.MonkeyPatch) -> None:
    """Mark every secret from now on, and look at what commands and captures say."""
    _mark_on_the_way_in(patch)
    _look_on_the_way_out(patch)


def _mark_on_the_way_in(patch: pytest.MonkeyPatch) -> None:
    wrapped, checked, started = SecretStr.__init__, signer.checked_key, subprocess.Popen.__init__

    def secret(self: SecretStr, value: str) -> None:
        mark(value, "a secret setting")
        wrapped(self, value)

    def key(given: bytes, chain_id: int | None = None) -> Any:
        if len(given) == signer.KEY_BYTES:
            mark(given.hex(), "a private key")
        return checked(given, chain_id)

    def start(self: subprocess.Popen[Any], *arguments: Any, **options: Any) -> None:
        mark_variables(options.get("env") or {})
        started(self, *arguments, **options)

    patch.setattr(SecretStr, "__init__", secret)
    patch.setattr(signer, "checked_key", key)
    patch.setattr(subprocess.Popen, "__init__", start)


def mark_variables(environ: Mapping[str, str]) -> None:
    """Mark the secrets that a process is started with."""
    for name, value in environ.items():
        if _SECRET_VARIABLE.match(name):
            mark(value, f"the variable {name}")


def _look_on_the_way_out(patch: pytest.MonkeyPatch) -> None:
    communicated = subprocess.Popen.communicate
    read: Callable[[Any], Any] = pytest.CaptureFixture.readouterr

    def communicate(self: subprocess.Popen[Any], *arguments: Any, **options: Any) -> Any:
        outputs = communicated(self, *arguments, **options)
        for text in outputs:
            refuse_leaks(text, "what a process printed")
        return outputs

    def readouterr(self: Any) -> Any:
        captured = read(self)
        for text in captured:
            refuse_leaks(text, "what a command printed")
        return captured

    patch.setattr(subprocess.Popen, "communicate", communicate)
    patch.setattr(pytest.CaptureFixture, "readouterr", readouterr)


def leaking_sections(sections: Iterable[tuple[str, str]]) -> list[str]:
    """Return what a test's captured outputs and logs give away."""
    return [f"{name}: {what}" for name, text in sections for what in leaks(text)]
