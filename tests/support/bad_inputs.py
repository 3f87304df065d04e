"""One wrong input, what is done with it, and what the operator must be told."""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eth_account import Account

from keeper.cli import root
from keeper.config import load
from keeper.domain.errors import KeeperError

POOL = "0x" + "12" * 20
KEY = "5ec2e7" + "ab" * 29
"""A private key that must not be repeated by any message."""

CHAIN = 'id = 31337\nendpoints = ["ws://127.0.0.1:8545"]'
MINIMAL = f"""\
[chain]
{CHAIN}

[[market]]
protocol = "aave_v3"
addresses_provider = "{POOL}"
from_block = 7
"""

USAGE, ENVIRONMENT = 2, 3

Told = tuple[int, str, str]
"""Exit code, message, hint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One bad input: its ``kind`` and ``case``, and what must be ``said`` and ``hint``-ed.

    ``said`` names the setting, the file, the flag or the variable. ``act`` raises, or returns
    what a command told.
    """

    kind: str
    case: str
    act: Callable[["Place"], object]
    said: str
    hint: str = ""
    code: int = USAGE

    def __str__(self) -> str:
        return f"{self.kind}: {self.case}"


@dataclass(slots=True)
class Place:
    """A folder to be wrong in."""

    folder: Path
    _keys: int = field(default=0)

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        """Write a file of the folder."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(mode)
        return path

    def load(
        self,
        text: str | bytes = MINIMAL,
        *,
        environ: Mapping[str, str] | None = None,
        overrides: Mapping[str, str] | None = None,
        env: str | None = None,
        mode: int = 0o600,
    ) -> object:
        """Load settings that are wrong somewhere."""
        if env is not None:
            self.write(".env", env, mode)
        return load(self.write("keeper.toml", text), overrides, environ or {})

    def keystore(self, key: str = KEY, password: str = "secret", **changes: object) -> Path:  # noqa: S107
        """Write a keystore with few rounds; ``changes`` go into its document."""
        document = Account.encrypt(key, password, kdf="pbkdf2", iterations=2)
        return self.write("key.json", json.dumps({**document, **changes}))

    def command(self, *arguments: str, text: str = MINIMAL) -> Told:
        """Run a command of the real program where nobody sits at the terminal."""
        self.write("keeper.toml", text)
        out, err = io.StringIO(), io.StringIO()
        stdin, sys.stdin = sys.stdin, io.StringIO("")
        try:
            with (
                contextlib.chdir(self.folder),
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(err),
            ):
                code = root.run(arguments)
        finally:
            sys.stdin = stdin
        assert out.getvalue() == ""
        lines = err.getvalue().splitlines()
        return code, lines[0], "\n".join(lines[1:])


def told(row: Row, place: Place) -> Told:
    """Do it and return what the operator is told."""
    try:
        outcome = row.act(place)
    except KeeperError as error:
        return error.exit_code, str(error), error.hint
    assert isinstance(outcome, tuple), f"{row}: nothing was refused"
    return outcome


def in_file(text: str | bytes) -> Callable[[Place], object]:
    """Load this settings file."""
    return lambda place: place.load(text)


def policy(line: str) -> Callable[[Place], object]:
    """Load a file with this line under [policy]."""
    return in_file(f"{MINIMAL}\n[policy]\n{line}\n")


def chain(lines: str) -> Callable[[Place], object]:
    """Load a file with another [chain]."""
    return in_file(MINIMAL.replace(CHAIN, lines))


def endpoint(url: str) -> Callable[[Place], object]:
    """Load a file with this endpoint."""
    return chain(f'id = 1\nendpoints = ["{url}"]')


def executor(address: str) -> Callable[[Place], object]:
    """Load a file with this executor."""
    return in_file(f'{MINIMAL}\n[[executor]]\naddress = "{address}"\n')


def section(text: str) -> Callable[[Place], object]:
    """Load a file with more sections."""
    return in_file(f"{MINIMAL}\n{text}\n")


def variables(**environ: str) -> Callable[[Place], object]:
    """Load with these variables: ``CHAIN__ID`` stands for ``KEEPER_CHAIN__ID``."""
    return lambda place: place.load(environ={f"KEEPER_{k}": v for k, v in environ.items()})


def env_file(text: str, mode: int = 0o600) -> Callable[[Place], object]:
    """Load with this .env."""
    return lambda place: place.load(env=text, mode=mode)


def flag(name: str, value: str = KEY) -> Callable[[Place], object]:
    """Load with this --set."""
    return lambda place: place.load(overrides={name: value})


def typed(*arguments: str, text: str = MINIMAL) -> Callable[[Place], object]:
    """Run a command."""
    return lambda place: place.command(*arguments, text=text)
